"""Evaluation of a trained cell, by its model, its selection or its mixture, and the files that describe it."""


def base_model(wildcards):
    """Where the model below a LoRA adapter lies; nothing for a full model."""
    cell = cell_of(wildcards)
    spec = grids.experiment_spec(GRID, cell)
    if spec.get("config", {}).get("finetuning_type") != "lora":
        return ""
    begin = grids.start(GRID, cell)
    return f"--base-model {grids.run_dir(R, begin) if begin else grids.model_path(GRID, R, cell.model)}"


# A grid that runs over days shows what is done; elsewhere training goes first, so that nothing waits for it.
FINISH = 20 if GRID.get("evaluate_first") else 0


rule evaluate:
    input:
        run=f"{R}/train/{{experiment}}/{{cell}}.done.json",
        corpus=corpus_ready,
    output:
        f"{R}/results/{{experiment}}/{{cell}}/metrics.json",
        f"{R}/results/{{experiment}}/{{cell}}/questions.jsonl",
        f"{R}/results/{{experiment}}/{{cell}}/documents.jsonl",
    log:
        f"{R}/logs/evaluate/{{experiment}}/{{cell}}.log",
    params:
        run=lambda w: grids.run_dir(R, cell_of(w)),
        corpus=corpus_of,
        folder=f"{R}/results/{{experiment}}/{{cell}}",
        base=base_model,
        options=lambda w: as_options(grids.experiment_spec(GRID, cell_of(w)).get("evaluate", {})),
        held=f"{R}/attempts/evaluate/{{experiment}}/{{cell}}",
        scripts=SCRIPTS,
    priority: FINISH
    threads: asked("evaluate", "threads")
    resources:
        gres=gres("evaluate"),
        nodes=asked("evaluate", "nodes"),
        runtime=asked("evaluate", "runtime"),
        mem_mb=more_memory("evaluate"),
    shell:
        "python {params.scripts}/hold.py --lock {params.held}.lock --attempts {params.held}.jsonl -- "
        "{CLI} evaluate {params.run} --corpus {params.corpus} --output {params.folder} "
        "{params.base} {params.options} > {log} 2>&1"


# The questions alone: documents are for the model at the end.
rule evaluate_step:
    input:
        run=f"{R}/train/{{experiment}}/{{cell}}.done.json",
        corpus=corpus_ready,
    output:
        f"{R}/steps/{{experiment}}/{{cell}}/{{step}}/metrics.json",
        f"{R}/steps/{{experiment}}/{{cell}}/{{step}}/questions.jsonl",
    log:
        f"{R}/logs/evaluate_step/{{experiment}}/{{cell}}/{{step}}.log",
    params:
        run=lambda w: grids.run_dir(R, cell_of(w)),
        corpus=corpus_of,
        folder=f"{R}/steps/{{experiment}}/{{cell}}/{{step}}",
        base=base_model,
        options=lambda w: as_options(
            {
                name: value
                for name, value in grids.experiment_spec(GRID, cell_of(w)).get("evaluate", {}).items()
                if name != "documents-per-domain"
            }
        ),
        held=f"{R}/attempts/evaluate_step/{{experiment}}/{{cell}}/{{step}}",
        scripts=SCRIPTS,
    priority: FINISH
    threads: asked("evaluate", "threads")
    resources:
        gres=gres("evaluate"),
        nodes=asked("evaluate", "nodes"),
        runtime=asked("evaluate", "runtime"),
        mem_mb=more_memory("evaluate", "evaluate_step", step=True),
    shell:
        "python {params.scripts}/hold.py --lock {params.held}.lock --attempts {params.held}.jsonl -- "
        "{CLI} evaluate {params.run} --step {wildcards.step} --corpus {params.corpus} "
        "--output {params.folder} {params.base} {params.options} > {log} 2>&1"


rule by_step:
    input:
        lambda w: [
            f"{R}/steps/{w.experiment}/{w.cell}/{step}/metrics.json"
            for step in grids.steps_to_evaluate(GRID, cell_of(w))
        ],
        f"{R}/results/{{experiment}}/{{cell}}/metrics.json",
    output:
        f"{R}/results/{{experiment}}/{{cell}}/by_step.csv",
    params:
        evaluated=f"{R}/steps/{{experiment}}/{{cell}}",
        steps=lambda w: grids.steps_to_evaluate(GRID, cell_of(w)),
        end=lambda w: grids.total_steps(GRID, cell_of(w)),
        folder=f"{R}/results/{{experiment}}/{{cell}}",
        scripts=SCRIPTS,
    localrule: True
    shell:
        "python {params.scripts}/by_step.py {params.evaluated} --steps {params.steps} --end {params.end} "
        "--output {params.folder}"


rule mark:
    input:
        run=f"{R}/train/{{experiment}}/{{cell}}.done.json",
        corpus=corpus_ready,
    output:
        f"{R}/results/{{experiment}}/{{cell}}/selection.json",
        f"{R}/results/{{experiment}}/{{cell}}/picks.csv",
    params:
        run=lambda w: grids.run_dir(R, cell_of(w)),
        corpus=corpus_of,
        folder=f"{R}/results/{{experiment}}/{{cell}}",
        target=lambda w: json.dumps(grids.target(GRID, cell_of(w))),
        scripts=SCRIPTS,
    localrule: True
    shell:
        "python {params.scripts}/mark.py {params.run} --corpus {params.corpus} --target {params.target:q} "
        "--output {params.folder}"


rule measure:
    input:
        run=f"{R}/train/{{experiment}}/{{cell}}.done.json",
        corpus=corpus_ready,
    output:
        f"{R}/results/{{experiment}}/{{cell}}/mixture.json",
        f"{R}/results/{{experiment}}/{{cell}}/held_out.csv",
    log:
        f"{R}/logs/measure/{{experiment}}/{{cell}}.log",
    params:
        run=lambda w: grids.run_dir(R, cell_of(w)),
        corpus=corpus_of,
        folder=f"{R}/results/{{experiment}}/{{cell}}",
        yardstick=lambda w: "--yardstick" if grids.is_yardstick(GRID, cell_of(w)) else "",
        scripts=SCRIPTS,
    threads: asked("evaluate", "threads")
    resources:
        runtime=asked("evaluate", "runtime"),
        mem_mb=more_memory("evaluate", "measure"),
    shell:
        "( {CLI} held-out {params.run} --corpus {params.corpus} --output {params.folder}; "
        "python {params.scripts}/account.py {params.run} --corpus {params.corpus} --output {params.folder} "
        "{params.yardstick} ) > {log} 2>&1"


rule collect:
    input:
        run=f"{R}/train/{{experiment}}/{{cell}}.done.json",
        corpus=corpus_ready,
    output:
        f"{R}/results/{{experiment}}/{{cell}}/curve.csv",
        f"{R}/results/{{experiment}}/{{cell}}/shares.csv",
        f"{R}/results/{{experiment}}/{{cell}}/run.json",
    params:
        run=lambda w: grids.run_dir(R, cell_of(w)),
        folder=f"{R}/results/{{experiment}}/{{cell}}",
        cell=lambda w: json.dumps(cell_of(w).as_dict()),
        start=lambda w: json.dumps(begin.as_dict()) if (begin := grids.start(GRID, cell_of(w))) else "null",
        scripts=SCRIPTS,
    # Behind the evaluation: what was interrupted leaves no half of a cell among the results.
    priority: FINISH // 2
    localrule: True
    shell:
        "python {params.scripts}/collect.py {params.run} --cell {params.cell:q} --start {params.start:q} "
        "--corpus {input.corpus} --output {params.folder}"
