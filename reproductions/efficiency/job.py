"""One job of a grid's efficiency experiments: one side and one size, in a file of its own.

``python -m efficiency tables`` puts the files of a folder together.
"""

from __future__ import annotations

import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from efficiency import workload
from efficiency.sides import Bench, Report, Side, authors_of_less, library, upstream
from efficiency.tsds import CLOCK, PARAMETERS

app = typer.Typer(no_args_is_help=True, help="One side and one size, for a grid's jobs.")


class Who(StrEnum):
    """Whose code is measured."""

    OURS = "ours"
    UPSTREAM = "upstream"
    AUTHORS = "authors"


LESS = {
    Who.OURS: (workload.PLAIN, "exact", "projected"),
    Who.UPSTREAM: (workload.PLAIN, "upstream"),
    Who.AUTHORS: (workload.PLAIN, "authors"),
}
"""The sides have torch of different versions: each is divided by plain passes of its own."""
TSDS = {
    Who.OURS: ("library tsds", "library tsds, own defaults"),
    Who.UPSTREAM: ("upstream tsds",),
    Who.AUTHORS: ("authors tsds",),
}
DIMENSION, KIND = 384, "clustered"

Whose = Annotated[Who, typer.Option(help="Whose code.")]
File = Annotated[Path, typer.Option(help="The result.")]
Repeats = Annotated[int, typer.Option(min=1, help="Timed passes; with one its memory is measured too.")]
Threads = Annotated[int, typer.Option(min=1, help="Of all processes.")]
Venv = Annotated[Path | None, typer.Option(help="Virtual environment of upstream's dataflex 1.1.")]
Checkout = Annotated[Path | None, typer.Option(help="The authors' code.")]


@app.command()
def less(
    data: Annotated[Path, typer.Option(exists=True, help="File of rows, or folder with dataset_info.json.")],
    model: Annotated[str, typer.Option(help="tiny, a model's folder, or its name on the hub.")],
    side: Whose,
    output: File,
    ratio: Annotated[float, typer.Option(min=0, max=1, help="Part of the pool to score.")] = 1.0,
    gpus: Annotated[
        int, typer.Option(min=1, help="Processes; each has a GPU of its own if there are any.")
    ] = 1,
    rows: Annotated[int, typer.Option(min=1, help="Rows of the pool at ratio 1.")] = 160,
    validation: Annotated[int, typer.Option(min=1, help="Rows to aim at.")] = 8,
    cutoff: Annotated[int, typer.Option(min=8, help="Tokens of a row at the most.")] = 256,
    rank: Annotated[int, typer.Option(min=1, help="Of LoRA.")] = 8,
    batch: Annotated[int, typer.Option(min=1, help="Rows of a batch.")] = 8,
    projection: Annotated[int, typer.Option(min=1, help="Dimensions, on all sides.")] = 4096,
    precision: Annotated[str, typer.Option(help="Of the model below the adapter.")] = "float32",
    repeats: Repeats = 1,
    upstream_venv: Venv = None,
    authors: Checkout = None,
    threads: Threads = 1,
) -> None:
    """Time LESS scoring by one side."""
    report = Report("less")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = {"rows": rows, "validation": validation, "cutoff": cutoff, "rank": rank, "batch": batch}
        report.about = workload.make(folder, data=data, model=model, precision=precision, **made)
        report.about |= {"projection": projection, "checkpointing": False, "job": output.stem}
        bench = Bench(report, folder / "jobs", max(1, threads // gpus), "gradients")
        options = {"shares": [ratio], "projection": projection}
        names = [f"{variant}@{ratio}" for variant in LESS[side]]
        # The memory of plain passes is of no interest.
        kept = [variant for variant in names if not variant.startswith("plain")]
        where = _less_side(side, upstream_venv, authors)
        job = {"workload": str(folder), "options": options, "processes": gpus}
        _measure(bench, where, names, kept, repeats, {"gpus": gpus}, job)
    _write(report, output, side)


@app.command()
def tsds(
    side: Whose,
    output: File,
    pool: Annotated[int, typer.Option(min=1, help="Rows.")],
    queries: Annotated[list[int], typer.Option(help="Numbers of queries to try.")],
    repeats: Repeats = 1,
    upstream_venv: Venv = None,
    authors: Checkout = None,
    threads: Threads = 1,
) -> None:
    """Time TSDS from vectors to probabilities by one side, without GPUs."""
    about = {"dimension": DIMENSION, "kind": KIND, "job": output.stem} | PARAMETERS | CLOCK
    report = Report("tsds", about)
    where = library() if side is Who.OURS else upstream(_given(upstream_venv, "--upstream-venv"))
    checkout = str(_given(authors, "--authors").resolve()) if side is Who.AUTHORS else ""
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(report, Path(name), threads, "vectors")
        for asked in queries:
            case: dict[str, Any] = {"rows": pool, "queries": asked}
            options = case | {"kind": KIND, "dimension": DIMENSION, "neighbours": 1, "authors": checkout}
            names = list(TSDS[side])
            # A node that is taken whole may show its GPUs, and ours would use one beside sides that can't.
            job = {"options": options | PARAMETERS, "hide_gpus": True}
            _measure(bench, where, names, names, repeats, case, job)
    _write(report, output, side)


def _measure(
    bench: Bench,
    side: Side,
    timed: list[str],
    kept: list[str],
    repeats: int,
    case: dict[str, Any],
    job: dict[str, Any],
) -> None:
    """Time all in turn; measure the memory of those that are kept.

    Where one pass is enough, that of the memory serves for both: it may take hours.
    """
    alone = [variant for variant in timed if repeats > 1 or variant not in kept]
    bench.time(side, dict.fromkeys(alone, repeats), case, **job)
    bench.remember(side, kept, case, **job)


def _less_side(side: Who, venv: Path | None, authors: Path | None) -> Side:
    if side is Who.OURS:
        return library()
    theirs = upstream(_given(venv, "--upstream-venv"))
    return theirs if side is Who.UPSTREAM else authors_of_less(theirs, _given(authors, "--authors"))


def _given(path: Path | None, option: str) -> Path:
    if path is None:
        raise typer.BadParameter("this side needs it", param_hint=option)
    return path


def _write(report: Report, output: Path, side: Who) -> None:
    """Write what there is; that another side failed is a result, that ours did is none."""
    if side is Who.OURS and report.failures:
        raise typer.Exit(1)
    report.write(output)
