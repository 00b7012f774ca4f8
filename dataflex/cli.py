"""dataflex-cli: training with decisions, and everything llamafactory-cli can do."""

from __future__ import annotations

import json
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from dataflex.assets.commands import app as assets_app
from dataflex.citing.commands import cite, crate
from dataflex.corpus.commands import app as corpus_app
from dataflex.engine.interruption import Interruption
from dataflex.errors import Interrupted, UserError
from dataflex.evaluation.commands import evaluate, held_out
from dataflex.evidence.claims.commands import claims
from dataflex.evidence.store.commands import app as results_app
from dataflex.golden.commands import check as check_all
from dataflex.preflight.commands import preflight
from dataflex.report.commands import report
from dataflex.watching.commands import status

app = typer.Typer(
    help="Decide about the training data while an LLM trains. Other llamafactory-cli commands work too.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
app.add_typer(corpus_app, name="corpus")
app.add_typer(assets_app, name="assets")
app.add_typer(results_app, name="results")
app.command()(evaluate)
app.command("held-out")(held_out)
app.command("check")(check_all)
app.command()(claims)
app.command()(cite)
app.command()(crate)
app.command()(status)
app.command()(preflight)
app.command()(report)

GRID = "Of a grid"
HOST_COMMANDS = ("api", "chat", "eval", "export", "webchat", "webui", "env", "help")
SUITE = {
    "jinja2",
    "lm_eval",
    "matplotlib",
    "psutil",
    "rocrate",
    "scipy",
    "snakemake",
    "statsmodels",
    "tabulate",
}
"""Modules of the extra ``suite``."""

ConfigFile = Annotated[
    Path, typer.Argument(metavar="CONFIG.yaml", help="LLaMA-Factory's keys and dataflex's.")
]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[key=value]...", help="Override keys.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def train(config: ConfigFile, overrides: Overrides = None) -> None:
    """Train a model; train_type decides how (static is LLaMA-Factory itself)."""
    with Interruption.of(os.environ) as interruption:
        _train(config, overrides or [], interruption)


def _train(config: Path, overrides: list[str], interruption: Interruption) -> None:
    from dataflex.config import components_of, split
    from dataflex.config_file import read_config

    values = read_config(config, overrides)
    own, _ = split(values)
    components_of(own)

    from dataflex.host import launch

    devices = launch.device_count()
    if launch.wants_workers(os.environ, devices):
        status = launch.launch([str(config), *overrides], devices, interruption)
        if status:
            raise typer.Exit(status)
        return

    from dataflex.failures import ending_together
    from dataflex.host import static
    from dataflex.host.prepare import check
    from dataflex.host.train import train as train_dynamic

    with ending_together(launch.report_to_launcher):
        checked = check(values)
        if own.is_dynamic:
            train_dynamic(checked, interruption)
        else:
            static.train(checked, interruption)


@app.command()
def doremi(
    config: ConfigFile,
    overrides: Overrides = None,
    until: Annotated[str, typer.Option(help="Last part to train: reference, proxy or main.")] = "main",
) -> None:
    """Learn a mixture with a reference and a proxy model, and train the main model on it; resumable."""
    from dataflex.config_file import read_config
    from dataflex.host.doremi import Job, part_named

    job = Job(read_config(config, overrides or []))
    last = part_named(until)
    job.check()
    with Interruption.of(os.environ) as interruption:

        def train_part(file: Path) -> None:
            interruption.refuse_to_begin(f"the part {file.stem}")
            _train(file, [], interruption)

        job.run(train_part, last)


@app.command()
def plan(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml|GRID.yaml", help="Of one run, or a grid.")],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[key=value|TARGET]...",
            help="Of one run: override keys. Of a grid: parts, as `snakemake` is asked for them, or cells.",
        ),
    ] = None,
    as_json: AsJson = False,
    ranks: Annotated[
        int | None, typer.Option(min=1, help="Processes that will train; else as `train` would start here.")
    ] = None,
    memory: Annotated[bool, typer.Option("--memory", help="Predict the memory of a process, too.")] = False,
    seeds: Annotated[
        str | None, typer.Option(help="Grid: other seeds, as 1,2,3.", rich_help_panel=GRID)
    ] = None,
    experiments: Annotated[
        str | None,
        typer.Option(
            "--experiments", "--experiment", help="Grid: some experiments, as a,b.", rich_help_panel=GRID
        ),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option("--methods", "--method", help="Grid: some methods, as a,b.", rich_help_panel=GRID),
    ] = None,
    budget: Annotated[
        float | None, typer.Option(min=0, help="GPU hours: propose what to drop first.", rich_help_panel=GRID)
    ] = None,
    gpus: Annotated[
        int | None, typer.Option(min=1, help="At a time, for the time that all takes.", rich_help_panel=GRID)
    ] = None,
    gpu_memory_gb: Annotated[
        float | None, typer.Option(min=0, help="Flag cells that need more.", rich_help_panel=GRID)
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            help="Grid for GPUs: the cluster's, else workflow/profiles/slurm/config.yaml.",
            rich_help_panel=GRID,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="Of the calibration file; else its first that was measured.", rich_help_panel=GRID),
    ] = None,
    output: Annotated[
        str | None, typer.Option(help="The grid's folder; else runs/RUNG.", rich_help_panel=GRID)
    ] = None,
    calibration: Annotated[Path, typer.Option(help="How fast devices are.", rich_help_panel=GRID)] = Path(
        "reproductions/calibration.yaml"
    ),
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate", help="Take finished RUN_DIR... and fit a device to them.", rich_help_panel=GRID
        ),
    ] = False,
) -> None:
    """Show what a run or a whole grid will do, before anything is loaded.

    Of a run: phases, steps, samples, tokens and epochs. Of a grid: jobs, tokens, hours, memory, disk and what
    its comparisons could detect.
    """
    from dataflex.planning import commands
    from dataflex.planning.show import print_grid_plan

    if calibrate:
        runs = [config, *map(Path, words or [])]
        commands.print_device(*commands.calibrate(runs, device, calibration))
        return
    options = commands.Options(
        seeds, experiments, methods, device, output, gpus, gpu_memory_gb, budget, profile
    )
    if commands.is_grid(config):
        targets = tuple(words or ())
        if any("=" in word for word in targets) or ranks or memory:
            raise UserError(
                f"{config} is a grid: key=value, --ranks and --memory are for the configuration of one run"
            )
        content = commands.plan_of_file(config, options, calibration, targets)
        print(json.dumps(content, indent=2)) if as_json else print_grid_plan(content)
        return
    if options.given():
        raise UserError(
            f"{config} is no grid (it lacks schema, rung or experiments): {options.given()[0]} is for grids"
        )
    _plan_run(config, words or [], ranks, memory, as_json)


def _plan_run(config: Path, overrides: list[str], ranks: int | None, memory: bool, as_json: bool) -> None:
    from dataflex.config_file import read_config
    from dataflex.host.launch import planned_ranks
    from dataflex.host.plan import print_plan, run_plan
    from dataflex.host.prepare import check, prepare
    from dataflex.host.silence import host_silenced

    # The plan alone goes to standard output.
    with redirect_stdout(sys.stderr), host_silenced():
        values = read_config(config, overrides)
        checked = check(values, planned_ranks=ranks or planned_ranks(os.environ))
        if checked.args.finetuning.stage not in ("pt", "sft"):
            raise UserError(f"plan knows the stages pt and sft, not {checked.args.finetuning.stage}")
        content = run_plan(prepare(checked), memory=memory)
    print(json.dumps(content, indent=2)) if as_json else print_plan(content)


@app.command()
def explain(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="output_dir of a run.")],
    as_json: AsJson = False,
) -> None:
    """Tell what a run selected, mixed and weighted, when, and what each domain's loss was."""
    from dataflex.evidence.explain import print_run, read_run

    content = read_run(run_dir)
    print(json.dumps(content, indent=2)) if as_json else print_run(content)


@app.command()
def score(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="near or tsds.")],
    config: ConfigFile,
    output: Annotated[Path, typer.Option(help="The parquet file to write.")],
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Score all rows of a configuration by their embeddings; no model is trained."""
    from dataflex.config_file import read_config, read_overrides
    from dataflex.host.score import print_scores
    from dataflex.host.score import score as score_rows

    # The summary alone goes to standard output.
    with redirect_stdout(sys.stderr):
        values = read_config(config, overrides or [])
        given = read_overrides(overrides or []).get("component_params")
        summary = score_rows(method, values, output, given if isinstance(given, dict) else None)
    print(json.dumps(summary, indent=2)) if as_json else print_scores(summary)


@app.command()
def components(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Tell all of this one; else list every one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List selectors, mixers and weighters with their parameters, or tell all of one."""
    from dataflex.catalogue import as_dict, named, print_catalogue, print_named

    if as_json:
        print(json.dumps(named(name) if name else as_dict(), indent=2))
    elif name:
        print_named(named(name))
    else:
        print_catalogue()


@app.command()
def support(as_json: AsJson = False) -> None:
    """Tell which method works with which setting of LLaMA-Factory, and why others are refused."""
    from dataflex.host.silence import host_silenced
    from dataflex.host.support import markdown
    from dataflex.host.support import support as refusals

    with host_silenced():
        text = json.dumps(refusals(), indent=2) if as_json else markdown()
    print(text)


@app.command()
def version() -> None:
    """Print the versions of dataflex and of what decides about its results."""
    from dataflex.evidence.manifest import versions

    for name, number in versions().items():
        print(f"{name} {number}")


def main() -> Any:
    """Entry point. A user's mistake is one line on stderr and exit status 2; a run that was stopped, 75.

    A check that finds something unfit ends with 78.
    """
    if len(sys.argv) > 1 and sys.argv[1] in HOST_COMMANDS:
        from llamafactory.cli import main as host_main

        return host_main()
    try:
        return app()
    except UserError as error:
        from dataflex.host.launch import report_to_launcher

        if not report_to_launcher(error):
            print(f"dataflex-cli: {error}", file=sys.stderr)
        sys.exit(error.status)
    except ModuleNotFoundError as missing:
        # The library works without what grids, statistics and reports rest on.
        if missing.name is None or missing.name.partition(".")[0] not in SUITE:
            raise
        print(
            f"dataflex-cli: this command needs {missing.name}: pip install -e '.[suite]' in the checkout",
            file=sys.stderr,
        )
        sys.exit(2)
    except Interrupted as stop:
        from dataflex.host.launch import is_first, report_interruption

        if report_interruption(stop):
            sys.exit(0)
        if str(stop) and is_first(os.environ):
            print(f"dataflex-cli: {stop}", file=sys.stderr)
        sys.exit(stop.code)


if __name__ == "__main__":
    # As torchrun starts it.
    from dataflex.host.leaving import run_and_leave

    run_and_leave(main)
