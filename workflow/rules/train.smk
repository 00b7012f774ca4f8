"""Training. A run directory is not an output, because Snakemake deletes outputs before a job starts over and
the run resumes from the checkpoints in it; the output is a sentinel, written after the run was validated."""


def starting_point(wildcards):
    """Sentinels of the runs and the models that a cell builds on."""
    cell = cell_of(wildcards)
    found = [f"{R}/train/{need.path}.done.json" for need in grids.needed(GRID, cell).values()]
    return found + [file for name in grids.models_of(GRID, cell) for file in grids.model_ready(GRID, R, name)]


def launcher(wildcards):
    """One process a node on several nodes (torchrun's variables from Slurm's), else nothing."""
    if grids.resources(GRID, cell_of(wildcards), "train")["nodes"] == 1:
        return ""
    return (
        "export MASTER_ADDR=$(scontrol show hostnames $SLURM_JOB_NODELIST | head -n1) "
        "MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000)) NNODES=$SLURM_JOB_NUM_NODES FORCE_TORCHRUN=1; "
        "srun --overlap --ntasks-per-node=1 env -u SLURM_CPU_BIND bash -c 'NODE_RANK=$SLURM_NODEID exec \"$0\" \"$@\"' "
    )


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
        scripts=SCRIPTS,
    localrule: True
    shell:
        "python {params.scripts}/render.py --grid {params.grid} --cell {wildcards.experiment}/{wildcards.cell} "
        "--seed {params.seed} --root {params.root} --corpus {input} --output {output}"


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
        launcher=launcher,
        scripts=SCRIPTS,
    # Others wait for some runs. Of the rest, short ones that end in a mark fill up what is left of the processors.
    priority: lambda w: 10 if cell_of(w).path in SERVES else grids.priority(GRID, cell_of(w))
    threads: asked("train", "threads")
    resources:
        gres=gres("train"),
        nodes=asked("train", "nodes"),
        runtime=asked("train", "runtime"),
        mem_mb=asked("train", "mem_mb"),
    shell:
        "( python {params.scripts}/prepare.py {params.folder} --config {input.config} "
        "--inputs {input.corpus} {input.start}; "
        "{params.launcher}{CLI} train {input.config}; "
        "python {params.scripts}/seal.py run {params.folder} --output {output} ) > {log} 2>&1"
