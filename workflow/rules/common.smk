"""What every rule shares: the validated config, the grid's cells, the jobs' environment."""

import json
import os
import re
import shlex
import sys
from pathlib import Path

from snakemake.utils import validate

from dataflex import grid as grids
from dataflex.errors import UserError
from dataflex.evidence.results import BY_STEP, FILES
from dataflex.preflight.code import checkout

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))
import alone
import ancients
import quoting
import warm
from settings import typed

ancients.look_behind()
config.update(typed(config))
validate(config, str(Path(workflow.basedir) / "schemas" / "config.schema.yaml"), set_default=False)

try:
    GRID = grids.load(config["grid"])
    CELLS = grids.cells(GRID, config["seeds"], config["experiments"], config["methods"])
    grids.check_own_files(GRID, config)
except grids.GridError as error:
    raise WorkflowError(str(error)) from None

ASSETS = grids.assets(GRID)
R = config["output"] or f"runs/{GRID['rung']}"
# For commands alone: as a parameter of a rule it would have everything made again where the checkout was moved.
SCRIPTS = shlex.quote(str(Path(workflow.basedir) / "scripts"))
REPORTED = [cell for cell in CELLS if grids.reported(GRID, cell)]
# Cells by path; those that only serve others (a starting point outside of the chosen part) come last.
BY_PATH = {}
_pending = list(CELLS)
while _pending:
    cell = _pending.pop(0)
    if cell.path not in BY_PATH:
        BY_PATH[cell.path] = cell
        _pending += grids.needed(GRID, cell).values()
SERVES = {need.path for cell in BY_PATH.values() for need in grids.needed(GRID, cell).values()}

# The interpreter that runs Snakemake runs the jobs, whether or not its environment is activated.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")
# Jobs that take something from the hub have these as they were: with the user's own token, and as offline as asked.
_own = {name: os.environ.get(name) for name in (*OFFLINE, "HF_HOME")}
ONLINE = " ".join(
    [
        "env",
        *(f"-u {name}" for name, value in _own.items() if value is None),
        *(f"{name}={shlex.quote(value)}" for name, value in _own.items() if value is not None),
    ]
)
if GRID.get("offline"):
    for name in OFFLINE:
        os.environ[name] = "1"
    os.environ["HF_HOME"] = str(Path(R).absolute() / "cache" / "huggingface")


# Forking is sound where nothing holds a GPU or a system framework that forbids it: in a CPU grid on Linux.
WARM = bool(GRID.get("warm")) and sys.platform == "linux"
CLI = f"{shlex.quote(sys.executable)} -S {shlex.quote(warm.__file__)}" if WARM else "dataflex-cli"


def asked_for():
    """What the targets on the command line ask for, by the jobs that Snakemake has found for them.

    None where they are single files, or nothing that is trained or measured: then all that the grid has is watched.
    """
    jobs = list(workflow.dag.jobs)

    def cells(*rules):
        found = (job.wildcards for job in jobs if job.rule.name in rules)
        return sorted({f"{one.experiment}/{one.cell}" for one in found})

    trained, evaluated = cells("train"), cells("evaluate", "mark", "measure")
    benchmarks = sorted({job.wildcards.benchmark for job in jobs if job.rule.name == "benchmark"})
    # Of a whole result something is collected, too.
    if evaluated != cells("collect") or not (trained or benchmarks):
        return None
    by_step = cells("evaluate_steps")
    return dict(zip(grids.TARGETS, (trained, evaluated, by_step, benchmarks), strict=True))


def open_folder():
    """Be the only workflow on this folder, say what it is about, start the server that jobs are forked from."""
    try:
        alone.claim(Path(R) / "workflow.lock")
    except BlockingIOError as error:
        raise WorkflowError(str(error)) from None
    chosen = {key: config[key] for key in ("grid", "seeds", "experiments", "methods")}
    chosen["own_files"] = [name for name in GRID["corpora"] if corpus_files("corpus_files", name)]
    chosen["asked"] = asked_for()
    (Path(R) / grids.NOTE).write_text(json.dumps(chosen, indent=2) + "\n")
    code = checkout()
    if code.state == "warned":
        print(f"warning: {code.told}", file=sys.stderr)
    # A job of a cluster's is to run where the cluster has put it, not as a child of this process.
    if WARM and workflow.local_exec:
        warm.start(Path(R) / "logs" / "warm.log")


wildcard_constraints:
    experiment="|".join(GRID["experiments"]),
    cell=r"[^/]+",
    corpus="(" + "|".join(GRID["corpora"]) + r")(/seed\d+)?",
    model="|".join(map(re.escape, GRID["models"])),
    scale="|".join({scale for spec in GRID["experiments"].values() for scale in spec["scales"]}),
    asset="|".join(map(re.escape, ASSETS)) or "none",


def cell_of(wildcards):
    """The cell that a job's wildcards name."""
    path = f"{wildcards.experiment}/{wildcards.cell}"
    if path not in BY_PATH:
        part = (config[key] for key in ("seeds", "experiments", "methods"))
        raise WorkflowError(grids.not_chosen(GRID, path, *part))
    return BY_PATH[path]


def corpus_ready(wildcards):
    """Sentinel of the corpus that a cell uses."""
    return f"{R}/{grids.corpus_name(GRID, cell_of(wildcards))}.ready.json"


def corpus_of(wildcards):
    """Folder of the corpus that a cell uses."""
    return grids.corpus_dir(GRID, R, grids.corpus_name(GRID, cell_of(wildcards)))


PROFILED = {key: found.raw for key, found in (workflow.resource_settings.default_resources or {}).items()}
_mistaken = [told for key, raw in PROFILED.items() if (told := quoting.mistaken(key, raw))]
if _mistaken:
    raise WorkflowError(*_mistaken)


def of_profile(key):
    """A default resource of the profile as it is meant there; None where the profile has none."""
    found = quoting.meant(PROFILED.get(key))
    return None if found == "" else found


# The cluster as its profile describes it, beside partition and account. No config key: `--config` on the command line
# would take the place of all that a profile gives under `config`.
try:
    SITE = grids.site_of({key: of_profile(key) for key in ("gpus_per_node", "longest", "cpu_partition")})
except UserError as error:
    raise WorkflowError(str(error)) from None


def about(cell):
    """What the cell's result is about: its model, its selection or its mixture."""
    return grids.about(grids.experiment_spec(GRID, cell))


def results_of(cells):
    """Result files of some cells."""
    return [
        f"{R}/results/{cell.path}/{name}"
        for cell in cells
        for name in (*FILES[about(cell)], *([BY_STEP] if grids.steps_to_evaluate(GRID, cell) else ()))
    ]


def results_of_part(experiment=None, scale=None):
    """Input function: result files of an experiment, at one scale of it, or of all that was chosen.

    Without any the target would be a job that has nothing to do, and succeed.
    """

    def files(wildcards):
        part = [c for c in REPORTED if experiment in (None, c.experiment) and scale in (None, c.scale)]
        if not part:
            raise WorkflowError(grids.nothing_left(GRID, experiment, config["experiments"], config["methods"]))
        return results_of(part)

    return files


def asked(job, key):
    """Resource function of a train or evaluate job, from the grid."""

    def value(wildcards):
        return grids.resources(GRID, cell_of(wildcards), job, SITE)[key]

    return value


def more(asked_for, place, resource):
    """What a job asks for, or half as much again as was too little, up to three times what it asks for.

    asked_for and place are functions of the wildcards: an amount, and the name of the job's log below logs, without
    its ending; the executor keeps what was too little of a resource in a record of that name.
    """

    def value(wildcards, attempt=1):
        record = Path(R) / "jobs" / f"{place(wildcards)}.json"
        known = json.loads(record.read_text()).get("too_little", {}) if record.is_file() else {}
        asked, short = asked_for(wildcards), known.get(resource, 0)
        return asked if asked > short else min(short * 3 // 2, asked * 3)

    return value


def more_memory(asked_for, place):
    """Memory of a job, in MB."""
    return more(asked_for, place, "mem_mb")


def more_time(job, rule):
    """Time limit of a job of a cell that can't go on where its limit ended it: no more than the cluster gives."""
    return minutes(more(asked(job, "runtime"), lambda wildcards: f"{rule}/{cell_of(wildcards).path}", "runtime"))


def more_memory_of_cell(job, rule):
    """The same of a job of a cell: what the grid asks for under train or evaluate, and the rule's records."""
    return more_memory(asked(job, "mem_mb"), lambda wildcards: f"{rule}/{cell_of(wildcards).path}")


def held(rule, name):
    """Options for hold.py and make.py: lock and attempts of a job, where the executor and status look for them."""
    place = shlex.quote(f"{R}/attempts/{rule}/{name}")
    return f"--lock {place}.lock --attempts {place}.jsonl"


def in_turn(commands):
    """Commands as make.py takes them."""
    return " ';' ".join(commands)


def minutes(asked_for):
    """Time limit of a job: what the grid asks for, no more than the cluster gives."""
    return lambda wildcards: SITE.minutes(asked_for(wildcards))


def gres(gpus):
    """Slurm's generic resource string, by the GPUs a node; empty for a job without any."""
    return lambda wildcards: f"gpu:{found}" if (found := gpus(wildcards)) else ""


def no_gpus(wildcards):
    """GPUs of a job that never uses any."""
    return 0


def partition(gpus=no_gpus):
    """Slurm's partition of a job: nodes without GPUs for one that uses none, where the cluster has such."""
    own, other = of_profile("slurm_partition") or "", of_profile("cpu_partition")
    return lambda wildcards: own if gpus(wildcards) or not other else other


def constraint(gpus=no_gpus):
    """Slurm's constraint of a job, if the profile has one: it chooses among GPUs, which other nodes don't have."""
    own, other = of_profile("constraint"), of_profile("cpu_partition")
    return lambda wildcards: own if gpus(wildcards) or not other else None


def as_options(options):
    """{"hidden-size": 64} -> "--hidden-size 64"."""
    return " ".join(f"--{name} {value}" for name, value in options.items())
