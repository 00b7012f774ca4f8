"""Evaluation of a trained cell, by its model, its selection or its mixture, and the files that describe it."""


def base_model(wildcards):
    """Where the model below a LoRA adapter lies; nothing for a full model."""
    cell = cell_of(wildcards)
    spec = grids.experiment_spec(GRID, cell)
    if spec.get("config", {}).get("finetuning_type") != "lora":
        return ""
    other = grids.start(GRID, cell)
    return f"--base-model {grids.run_dir(R, other) if other else grids.model_path(GRID, R, cell.model)}"


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
        held=lambda w: held("evaluate", cell_of(w).path),
    priority: FINISH
    threads: asked("evaluate", "threads")
    resources:
        gres=gres(asked("evaluate", "gpus")),
        slurm_partition=partition(asked("evaluate", "gpus")),
        constraint=constraint(asked("evaluate", "gpus")),
        nodes=asked("evaluate", "nodes"),
        runtime=more_time("evaluate", "evaluate"),
        mem_mb=more_memory_of_cell("evaluate", "evaluate"),
    shell:
        "python {SCRIPTS}/hold.py {params.held} --makes {output:q} -- "
        "{CLI} evaluate {params.run} --corpus {params.corpus} --output {params.folder} "
        "{params.base} {params.options} > {log} 2>&1"


def protocol_of_steps(wildcards):
    """How checkpoints are evaluated: as the model at the end is, by the questions alone."""
    asked_for = grids.experiment_spec(GRID, cell_of(wildcards)).get("evaluate", {})
    return as_options({name: value for name, value in asked_for.items() if name != "documents-per-domain"})


# One job for all checkpoints of a cell, which have a base model and a node in common. Its folders are no outputs:
# Snakemake deletes outputs before a job starts over, and this one goes on with what is left.
rule evaluate_steps:
    input:
        run=f"{R}/train/{{experiment}}/{{cell}}.done.json",
        corpus=corpus_ready,
    output:
        f"{R}/steps/{{experiment}}/{{cell}}.done.json",
    log:
        f"{R}/logs/evaluate_steps/{{experiment}}/{{cell}}.log",
    params:
        held=lambda w: held("evaluate_steps", cell_of(w).path),
        run=lambda w: grids.run_dir(R, cell_of(w)),
        corpus=corpus_of,
        folder=f"{R}/steps/{{experiment}}/{{cell}}",
        steps=lambda w: grids.steps_to_evaluate(GRID, cell_of(w)),
        base=base_model,
        options=protocol_of_steps,
    priority: FINISH
    threads: asked("evaluate", "threads")
    resources:
        gres=gres(asked("evaluate", "gpus")),
        slurm_partition=partition(asked("evaluate", "gpus")),
        constraint=constraint(asked("evaluate", "gpus")),
        nodes=asked("evaluate", "nodes"),
        runtime=minutes(
            lambda w: grids.resources(GRID, cell_of(w), "evaluate")["runtime"]
            * len(grids.steps_to_evaluate(GRID, cell_of(w)))
        ),
        mem_mb=more_memory_of_cell("evaluate", "evaluate_steps"),
    shell:
        "python {SCRIPTS}/evaluate_steps.py {params.folder} --steps {params.steps} --inputs {input.run} {input.corpus} "
        "--output {output} {params.held} -- "
        "{CLI} evaluate {params.run} --corpus {params.corpus} {params.base} {params.options} > {log} 2>&1"


rule by_step:
    input:
        f"{R}/steps/{{experiment}}/{{cell}}.done.json",
        f"{R}/results/{{experiment}}/{{cell}}/metrics.json",
    output:
        f"{R}/results/{{experiment}}/{{cell}}/by_step.csv",
    params:
        evaluated=f"{R}/steps/{{experiment}}/{{cell}}",
        steps=lambda w: grids.steps_to_evaluate(GRID, cell_of(w)),
        end=lambda w: grids.total_steps(GRID, cell_of(w)),
        folder=f"{R}/results/{{experiment}}/{{cell}}",
    localrule: True
    shell:
        "python {SCRIPTS}/by_step.py {params.evaluated} --steps {params.steps} --end {params.end} "
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
    localrule: True
    shell:
        "python {SCRIPTS}/mark.py {params.run} --corpus {params.corpus} --target {params.target:q} "
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
        held=lambda w: held("measure", cell_of(w).path),
        run=lambda w: grids.run_dir(R, cell_of(w)),
        corpus=corpus_of,
        folder=f"{R}/results/{{experiment}}/{{cell}}",
        yardstick=lambda w: "--yardstick" if grids.is_yardstick(GRID, cell_of(w)) else "",
    threads: asked("evaluate", "threads")
    resources:
        runtime=more_time("evaluate", "measure"),
        slurm_partition=partition(),
        constraint=constraint(),
        mem_mb=more_memory_of_cell("evaluate", "measure"),
    shell:
        "python {SCRIPTS}/make.py {params.held} --makes {output:q} -- "
        "{CLI} held-out {params.run} --corpus {params.corpus} --output {params.folder} ';' "
        "python {SCRIPTS}/account.py {params.run} --corpus {params.corpus} --output {params.folder} "
        "{params.yardstick} > {log} 2>&1"


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
        start=lambda w: json.dumps(other.as_dict()) if (other := grids.start(GRID, cell_of(w))) else "null",
    # Behind the evaluation: what was interrupted leaves no half of a cell among the results.
    priority: FINISH // 2
    localrule: True
    shell:
        "python {SCRIPTS}/collect.py {params.run} --cell {params.cell:q} --start {params.start:q} "
        "--corpus {input.corpus} --output {params.folder}"
