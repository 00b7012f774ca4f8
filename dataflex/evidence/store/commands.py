"""``dataflex-cli results``: the store of reviewed results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from dataflex.errors import UserError
from dataflex.evidence.statistics.estimate import Interval
from dataflex.evidence.store import asked, timings
from dataflex.evidence.store.admission import add as admit
from dataflex.evidence.store.comparing import Row, compare, protocol_differences
from dataflex.evidence.store.find import HEADLINES, STORE, TIMINGS, Entry, entries, find
from dataflex.evidence.store.identity import short

app = typer.Typer(
    help="The store of reviewed results: what is in it, and what can be compared.", no_args_is_help=True
)
LOG_WIDTH = 140
"""Columns where the output goes to a file."""
Words = Annotated[str, typer.Argument(help="The beginning of an id, or rung/experiment/cell.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("add")
def add(
    source: Annotated[Path, typer.Argument(metavar="RESULTS", help="A grid's results folder.")],
    rung: Annotated[str, typer.Option(help="Which rung they are of: a folder in results/.")],
    replace: Annotated[bool, typer.Option(help="The rung becomes these cells alone.")] = False,
    reference: Annotated[
        Path | None, typer.Option(help="Write reference numbers with tolerances, from all seeds of the rung.")
    ] = None,
    measured_on: Annotated[str, typer.Option(help="What the reference was measured on, in few words.")] = "",
    grid: Annotated[
        Path | None, typer.Option(help="The rung's grid, where it is not reproductions/RUNG.yaml.")
    ] = None,
) -> None:
    """Check results and copy them to the store, to be reviewed like code.

    Refused are cells whose numbers don't follow from their outcomes, whose settings are not those of the
    rung's grid (reproductions/RUNG.yaml, which there must be), or that don't fit the cells beside them.
    """
    if (reference is None) != (not measured_on):
        raise UserError("--reference and --measured-on belong together")
    copied = admit(
        source,
        STORE / rung,
        replace=replace,
        reference_file=reference,
        measured_on=measured_on,
        asked=asked.of_grid(grid or asked.file_of(rung), rung),
    )
    print(f"{len(copied)} results copied to {STORE / rung}; look at the difference and commit it")


@app.command("timings")
def record_timings() -> None:
    """Record the digests of the timings in results/efficiency, once their form is right.

    `make efficiency MEASURED=results/efficiency` does it when it has measured.
    """
    many = timings.seal(STORE / TIMINGS)
    print(f"{many} benchmarks in {STORE / TIMINGS}; look at the difference and commit it")


@app.command("list")
def list_results(
    rung: Annotated[str | None, typer.Argument(help="One rung; else all of them.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the results with their ids."""
    found = list(entries(rung=rung))
    if as_json:
        print(json.dumps([_summary(entry) for entry in found], indent=2))
        return
    table = Table(show_edge=False, pad_edge=False)
    for head in ("id", "result", "numbers"):
        table.add_column(head, no_wrap=head != "numbers")
    for entry in found:
        numbers = entry.result.numbers()
        told = "  ".join(f"{name} {numbers[name]:.4f}" for name in HEADLINES if name in numbers)
        table.add_row(short(entry.id), entry.name, told)
    _console().print(table)


@app.command("show")
def show(words: Words, as_json: AsJson = False) -> None:
    """Show all there is about one result, or about the seeds of a cell."""
    found = find(words)
    if as_json:
        print(json.dumps([{**_summary(entry), "run": dict(entry.result.run)} for entry in found], indent=2))
        return
    for entry in found:
        manifest = entry.result.run["manifest"]
        print(f"{entry.name}\n  id        {entry.id}\n  folder    {entry.result.folder}")
        print(f"  commit    {manifest.get('commit')}")
        print(f"  versions  {', '.join(f'{k} {v}' for k, v in manifest['versions'].items())}")
        print(f"  hardware  {json.dumps(manifest['hardware'])}")
        print(f"  seconds   {manifest['wall_seconds']}")
        print(f"  protocol  {entry.result.metrics.get('protocol_hash', 'marked against its corpus')}")
        print(f"  files     {', '.join(entry.result.files)}")
        for name, value in entry.result.numbers().items():
            print(f"  {name:<40} {value:.6g}")


@app.command("compare")
def compare_results(one: Words, other: Words, as_json: AsJson = False) -> None:
    """Compare two results, or two methods over the seeds that both have.

    Only what was measured by the same protocol has a difference; else the parts that differ are shown. Exit
    status: 0, or 1 where the two can't be compared.
    """
    ones, others = find(one), find(other)
    differ = protocol_differences(ones[0].result, others[0].result)
    if differ:
        _side_by_side(ones, others, differ)
        raise typer.Exit(1)
    rows = compare([entry.result for entry in ones], [entry.result for entry in others])
    if as_json:
        print(json.dumps([_row(row) for row in rows], indent=2))
        return
    seeds = sorted({entry.result.seed for entry in ones} & {entry.result.seed for entry in others})
    table = Table(title=f"{one} less {other}, seeds {', '.join(map(str, seeds))}", title_justify="left")
    table.add_column("metric")
    for head in ("first", "second", "difference", "95 % interval", "detectable", "p (Holm)"):
        table.add_column(head, justify="right")
    for row in rows:
        least = row.difference.detectable()
        table.add_row(
            row.metric,
            f"{row.ours:.5g}",
            f"{row.theirs:.5g}",
            f"{row.difference.value:+.4f}",
            _interval(row.difference.interval()),
            "" if least is None else f"{least:.4f}",
            "" if least is None else f"{row.p_value:.3f}",
        )
    _console().print(table)
    if len(seeds) < 2:
        print("One seed: no statement about which is better follows from it.")


def _side_by_side(ones: Sequence[Entry], others: Sequence[Entry], differ: Sequence[str]) -> None:
    print(
        "These were not measured in the same way: their numbers stand side by side, not against each other."
    )
    for part in differ:
        print(f"  {part}")
    for entry in (*ones, *others):
        numbers = entry.result.numbers()
        told = "  ".join(f"{name} {numbers[name]:.4f}" for name in HEADLINES if name in numbers)
        print(f"{short(entry.id)}  {entry.name}  {told}")


def _summary(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "rung": entry.rung,
        **entry.result.cell,
        "protocol_hash": entry.result.metrics.get("protocol_hash"),
        "numbers": entry.result.numbers(),
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "metric": row.metric,
        "first": row.ours,
        "second": row.theirs,
        "difference": row.difference.value,
        "interval": row.difference.interval(),
        "detectable": row.difference.detectable(),
        "p_value": row.p_value if row.difference.known else None,
    }


def _interval(interval: Interval | None) -> str:
    return "one seed" if interval is None else f"[{interval[0]:+.4f}, {interval[1]:+.4f}]"


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=LOG_WIDTH)
