"""Before anything is trained: cheap checks of an experiment at a scale, and the scores of its base models."""

PREFLIGHT = GRID.get("preflight")
# What the command line asks for, which a passed check has seen room for: more of it is checked again.
CHOSEN = {
    "experiments": sorted({cell.experiment for cell in CELLS}),
    "methods": sorted({cell.method for cell in CELLS}),
    "seeds": sorted({cell.seed for cell in CELLS}),
}
# A check that finds something unfit is not made again: Slurm's executor tells that from a check that was killed, which
# is. Nobody does on this machine.
CHECKED_AGAIN = None if of_profile("slurm_partition") else 0


def preflight_of(wildcards):
    """What releases a cell's training; ancient, since a check that is made again trains nothing anew."""
    return [ancient(grids.release_file(R, *job)) for job in grids.releases(GRID, cell_of(wildcards))]


def checked(wildcards):
    """Sentinels of the models and of the corpus of an experiment at a scale."""
    corpus = GRID["experiments"][wildcards.experiment]["scales"][wildcards.scale]["corpus"]
    drawn = GRID["corpora"][corpus]["source"] in grids.DRAWN
    models = grids.experiment_models(GRID, wildcards.experiment)
    return [file for name in models for file in grids.model_ready(GRID, R, name)] + (
        [] if drawn else [f"{R}/{corpus}.ready.json"]
    )


rule preflight_checks:
    input:
        checked,
    output:
        f"{R}/preflight/{{experiment}}.{{scale}}.json",
    log:
        f"{R}/logs/preflight_checks/{{experiment}}.{{scale}}.log",
    params:
        asked=json.dumps(PREFLIGHT, sort_keys=True),
        chosen=json.dumps(CHOSEN),
        grid=config["grid"],
        root=R,
        own=" ".join(f"--own-files {name}" for name in GRID["corpora"] if corpus_files("corpus_files", name)),
    localrule: True
    # Seconds, on this machine: what it finds is no fault that passes.
    retries: 0
    shell:
        "dataflex-cli preflight {params.grid} --root {params.root} --experiment {wildcards.experiment} "
        "--scale {wildcards.scale} {params.own} --output {output} > {log} 2>&1"


def device_asks(key):
    """Resource function of the job that looks at the devices of an experiment's trainings: those of one node."""
    return lambda wildcards: grids.trainings(GRID, wildcards.experiment, wildcards.scale, SITE)[key]


# On a node as the trainings get one, in minutes: what is missing there is found before days of GPUs are asked for.
rule preflight_devices:
    output:
        f"{R}/preflight/devices/{{experiment}}.{{scale}}.json",
    log:
        f"{R}/logs/preflight_devices/{{experiment}}.{{scale}}.log",
    params:
        held=lambda w: held("preflight_devices", f"{w.experiment}.{w.scale}"),
        grid=config["grid"],
        root=R,
        asked=json.dumps((PREFLIGHT or {}).get("gpu_memory_gb")),
        gpus=device_asks("gpus"),
    retries: CHECKED_AGAIN
    threads: lambda w: min(8, device_asks("threads")(w))
    resources:
        gres=gres(device_asks("gpus")),
        slurm_partition=partition(device_asks("gpus")),
        constraint=constraint(device_asks("gpus")),
        nodes=1,
        runtime=minutes(lambda w: 15),
        mem_mb=more_memory(lambda w: 16000, lambda w: f"preflight_devices/{w.experiment}.{w.scale}"),
    shell:
        "python {SCRIPTS}/hold.py {params.held} --makes {output:q} -- "
        "dataflex-cli preflight {params.grid} --root {params.root} --experiment {wildcards.experiment} "
        "--scale {wildcards.scale} --devices {params.gpus} --output {output} > {log} 2>&1"


def scored_asked(key):
    """Resource of the jobs that score base models, from the grid."""
    asked = {"threads": 1, "gpus": 0, "runtime": 60, "mem_mb": 3000, **(PREFLIGHT or {}).get("resources", {})}
    return asked[key]


rule preflight_score:
    input:
        model=lambda w: grids.model_ready(GRID, R, w.model),
        corpus=lambda w: f"{R}/{PREFLIGHT['scores'][w.model]['corpus']}.ready.json",
    output:
        f"{R}/preflight/models/{{model}}.json",
    log:
        f"{R}/logs/preflight_score/{{model}}.log",
    params:
        held=lambda w: held("preflight_score", w.model),
        asked=lambda w: json.dumps(PREFLIGHT["scores"][w.model], sort_keys=True),
        grid=config["grid"],
        root=R,
    threads: scored_asked("threads")
    retries: CHECKED_AGAIN
    resources:
        gres=gres(lambda w: scored_asked("gpus")),
        slurm_partition=partition(lambda w: scored_asked("gpus")),
        constraint=constraint(lambda w: scored_asked("gpus")),
        runtime=minutes(lambda w: scored_asked("runtime")),
        mem_mb=more_memory(lambda w: scored_asked("mem_mb"), lambda w: f"preflight_score/{w.model}"),
    shell:
        "python {SCRIPTS}/hold.py {params.held} --makes {output:q} -- "
        "dataflex-cli preflight {params.grid} --root {params.root} --model {wildcards.model} --output {output} "
        "> {log} 2>&1"
