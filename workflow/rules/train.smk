"""Training. A run directory is not an output, because Snakemake deletes outputs before a job starts over and
the run resumes from the checkpoints in it; the output is a sentinel, written after the run was validated."""


def starting_point(wildcards):
    """Sentinels of the runs and the models that a cell builds on."""
    cell = cell_of(wildcards)
    found = [f"{R}/train/{need.path}.done.json" for need in grids.needed(GRID, cell).values()]
    return found + [file for name in grids.models_of(GRID, cell) for file in grids.model_ready(GRID, R, name)]


rule render:
    input:
        corpus_ready,
    output:
        f"{R}/configs/{{experiment}}/{{cell}}.yaml",
    params:
        recipe=lambda w: grids.recipe(GRID, cell_of(w), R),
        grid=config["grid"],
        seed=lambda w: cell_of(w).seed,
        root=R,
    localrule: True
    shell:
        "python {SCRIPTS}/render.py --grid {params.grid} --cell {wildcards.experiment}/{wildcards.cell} "
        "--seed {params.seed} --root {params.root} --corpus {input} --output {output}"


def notice(wildcards):
    """Slurm's notice before the time limit goes to a job's steps; one over several nodes goes by the clock, because
    its own srun answers a signal by killing what it has started."""
    asked_for = grids.resources(GRID, cell_of(wildcards), "train", SITE)
    return f"--signal=TERM@{min(300, 6 * asked_for['runtime'])}" if asked_for["nodes"] == 1 else ""


rule train:
    input:
        config=f"{R}/configs/{{experiment}}/{{cell}}.yaml",
        corpus=corpus_ready,
        start=starting_point,
        released=preflight_of,
    output:
        f"{R}/train/{{experiment}}/{{cell}}.done.json",
    log:
        f"{R}/logs/train/{{experiment}}/{{cell}}.log",
    params:
        folder=lambda w: grids.run_dir(R, cell_of(w)),
        attempts=f"{R}/attempts/train/{{experiment}}/{{cell}}.jsonl",
        extensions=f"{R}/cache/extensions",
    # Others wait for some runs. Of the rest, short ones that end in a mark fill up what is left of the processors.
    priority: lambda w: 10 if cell_of(w).path in SERVES else grids.priority(GRID, cell_of(w))
    threads: asked("train", "threads")
    resources:
        gres=gres(asked("train", "gpus")),
        slurm_partition=partition(asked("train", "gpus")),
        constraint=constraint(asked("train", "gpus")),
        # Resources and no parameters: on other nodes nothing is trained again.
        nodes=asked("train", "nodes"),
        processes=lambda w: max(1, asked("train", "gpus")(w)),
        runtime=asked("train", "runtime"),
        mem_mb=more_memory_of_cell("train", "train"),
        slurm_extra=notice,
    shell:
        "trap '' TERM USR2; python {SCRIPTS}/train.py {params.folder} --config {input.config} "
        "--inputs {input.corpus} {input.start} --output {output} --attempts {params.attempts} "
        "--extensions {params.extensions} --nodes {resources.nodes} --processes {resources.processes} "
        "--threads {threads} -- {CLI} train > {log} 2>&1"
