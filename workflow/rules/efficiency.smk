"""The grid's efficiency experiments: time and memory of a method by size and GPUs, beside other implementations."""

AUTHORS = config.get("authors") or {}
_asked = grids.benchmarks(GRID)
# A benchmark runs on one node.
_fit = [job for job in _asked if SITE.fits(job.gpus)]
BENCHMARKS = {job.name: job for job in grids.possible(_fit, AUTHORS)}
LEFT_OUT = grids.left_out(_fit, AUTHORS) + (
    [f"left out: {len(_asked) - len(_fit)} benchmarks on more GPUs than a node has (gpus_per_node in the profile)"]
    if len(_fit) < len(_asked)
    else []
)
UPSTREAM = config["upstream"]
REPRODUCTIONS = Path(workflow.basedir).parent / "reproductions"
_path = [str(REPRODUCTIONS), str(REPRODUCTIONS.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
BENCHMARK_PATH = f"PYTHONPATH={shlex.quote(os.pathsep.join(_path))}"
# A part of the grid that was chosen by name goes without its benchmarks, unless they are asked for.
_whole = not (config["experiments"] or config["methods"])
EFFICIENCY = [f"{R}/tables/efficiency.md"] if BENCHMARKS and _whole else []


def benchmark_of(wildcards):
    """The benchmark that a job's wildcards name."""
    return BENCHMARKS[wildcards.benchmark]


def benchmark_inputs(wildcards):
    """Rows and model of LESS, where the grid makes them, and the environment of the other implementations."""
    job = benchmark_of(wildcards)
    found = [] if job.side == "ours" else [f"{UPSTREAM}/installed"]
    if job.method == "less":
        spec = GRID["efficiency"]["less"]
        found.append(f"{R}/{spec['corpus']}.ready.json")
        found += grids.model_ready(GRID, R, spec["model"])
    return found


def benchmark_command(wildcards):
    """Words that measure one job."""
    job = benchmark_of(wildcards)
    spec = GRID["efficiency"][job.method]
    options = {"side": job.side, "repeats": grids.benchmark_repeats(GRID, job)}
    options["threads"] = grids.benchmark_resources(GRID, job)["threads"]
    if job.side != "ours":
        options["upstream-venv"] = UPSTREAM
    if job.side == grids.AUTHORS:
        options["authors"] = AUTHORS[job.method]
    if job.method == "less":
        options |= {"ratio": job.size, "gpus": job.gpus, "rows": spec["rows"]} | spec.get("options", {})
        options["model"] = grids.model_path(GRID, R, spec["model"])
        options["data"] = grids.corpus_dir(GRID, R, spec["corpus"])
        several = []
    else:
        options["pool"] = job.size
        several = [("queries", queries) for queries in spec["queries"]]
    words = [word for name, value in [*options.items(), *several] for word in (f"--{name}", str(value))]
    return shlex.join(["job", job.method, *words])


def benchmark_asks(key):
    """Resource function of a benchmark, from the grid."""

    def value(wildcards):
        return grids.benchmark_resources(GRID, benchmark_of(wildcards))[key]

    return value


if BENCHMARKS:

    for _line in LEFT_OUT:
        print(_line, file=sys.stderr)

    rule upstream:
        output:
            f"{UPSTREAM}/installed",
        log:
            f"{R}/logs/upstream.log",
        params:
            folder=UPSTREAM,
            makefile=os.path.relpath(REPRODUCTIONS.parent / "Makefile"),
        localrule: True
        shell:
            "make -f {params.makefile:q} efficiency-upstream UPSTREAM={params.folder:q} > {log} 2>&1"

    rule benchmark:
        input:
            benchmark_inputs,
        output:
            f"{R}/results/efficiency/{{benchmark}}.json",
        log:
            f"{R}/logs/efficiency/{{benchmark}}.log",
        params:
            command=benchmark_command,
            held=lambda w: held("efficiency", w.benchmark),
        wildcard_constraints:
            benchmark="|".join(map(re.escape, BENCHMARKS)),
        # Nothing else may run beside what is timed: here it takes every processor, in Slurm every node that it gets.
        threads: lambda w: max(workflow.resource_settings.cores or 1, benchmark_asks("threads")(w))
        resources:
            gres=gres(lambda w: benchmark_of(w).gpus),
            slurm_partition=partition(lambda w: benchmark_of(w).gpus),
            constraint=constraint(lambda w: benchmark_of(w).gpus),
            nodes=1,
            runtime=minutes(benchmark_asks("runtime")),
            mem_mb=more_memory(benchmark_asks("mem_mb"), lambda w: f"efficiency/{w.benchmark}"),
            slurm_extra="--exclusive",
        shell:
            BENCHMARK_PATH + " python {SCRIPTS}/hold.py {params.held} --makes {output:q} -- "
            "python -m efficiency {params.command} --output {output:q} > {log:q} 2>&1"

    rule efficiency_tables:
        input:
            expand(f"{R}/results/efficiency/{{benchmark}}.json", benchmark=BENCHMARKS),
        output:
            table=f"{R}/tables/efficiency.md",
            measurements=f"{R}/results/efficiency/measurements.csv",
        log:
            f"{R}/logs/efficiency_tables.log",
        params:
            folder=f"{R}/results/efficiency",
            notes=" ".join(f"--note {shlex.quote(line)}" for line in LEFT_OUT),
        localrule: True
        shell:
            BENCHMARK_PATH + " python -m efficiency tables --output {params.folder:q} {params.notes} > {log:q} 2>&1; "
            "cp {params.folder:q}/tables.md {output.table:q}"

    rule efficiency:
        input:
            f"{R}/tables/efficiency.md",
