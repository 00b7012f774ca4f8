"""``dataflex-cli results``: the store of reviewed results."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from dataflex.errors import UserError
from dataflex.evidence.store import asked, timings
from dataflex.evidence.store.admission import add as admit
from dataflex.evidence.store.answering import Pairing, pairings
from dataflex.evidence.store.comparing import Row, compare, protocol_differences
from dataflex.evidence.store.find import HEADLINES, STORE, TIMINGS, Entry, entries, find, grouped, inside
from dataflex.evidence.store.identity import short
from dataflex.evidence.store.showing import (
    console_or_log,
    detectable,
    metrics_table,
    questions_table,
    statements,
)

app = typer.Typer(
    help="The store of reviewed results: what is in it, and what can be compared.", no_args_is_help=True
)
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
    for entry in found:
        print(f"{short(entry.id)}  {entry.name}  {_headlines(entry)}")


@app.command("show")
def show(words: Words, as_json: AsJson = False) -> None:
    """Show all there is about one result or the seeds of a cell; of a rung or experiment, what is in it."""
    if below := inside(words):
        if as_json:
            print(json.dumps([_summary(entry) for entry in below], indent=2))
            return
        for name, entries_of in grouped(below):
            seeds = " ".join(str(entry.result.seed) for entry in entries_of)
            print(f"{name}  seeds {seeds}")
        print(f"{len(below)} results; show one of these cells for its numbers")
        return
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

    Seeds are the sample of every number. Accuracies are compared by question besides: seed by seed (a
    statement about two models), over the seeds together, and as methods. Only what was measured by the same
    protocol has a difference; else the parts that differ are shown. Exit status: 0, or 1 where the two can't
    be compared.
    """
    ones, others = find(one), find(other)
    if same := {entry.id for entry in ones} & {entry.id for entry in others}:
        raise UserError(
            f"{one} and {other} hold the same result {short(min(same))}, which does not differ from itself: "
            "name another one"
        )
    differ = list(
        dict.fromkeys(part for a in ones for b in others for part in protocol_differences(a.result, b.result))
    )
    if differ:
        _side_by_side(ones, others, differ, as_json=as_json)
        raise typer.Exit(1)
    runs, counterparts = [entry.result for entry in ones], [entry.result for entry in others]
    rows, by_question = compare(runs, counterparts), pairings(runs, counterparts)
    seeds = sorted({run.seed for run in runs} & {run.seed for run in counterparts})
    if as_json:
        content = {
            "comparable": True,
            "first": [_summary(entry) for entry in ones if entry.result.seed in seeds],
            "second": [_summary(entry) for entry in others if entry.result.seed in seeds],
            "by_seed": {
                "about": "the two methods: trained again with other seeds, on these questions and documents",
                "seeds": seeds,
                "metrics": [_row(row) for row in rows],
            },
            "by_question": [_pairing(pairing) for pairing in by_question],
        }
        print(json.dumps(content, indent=2))
        return
    console = console_or_log()
    title = f"{one} less {other}, paired by seed ({', '.join(map(str, seeds))})"
    console.print(metrics_table(title, rows))
    if len(seeds) < 2:
        print("One seed: no statement about which method is better follows from it.")
    if by_question:
        console.print()
        console.print(questions_table("mmlu.acc, paired by question", by_question))
        for line in statements(by_question):
            console.print(line, highlight=False)


def _side_by_side(
    ones: Sequence[Entry], others: Sequence[Entry], differ: Sequence[str], *, as_json: bool
) -> None:
    if as_json:
        first, second = ([_summary(entry) for entry in side] for side in (ones, others))
        content = {"comparable": False, "differ": list(differ), "first": first, "second": second}
        print(json.dumps(content, indent=2))
        return
    print(
        "These were not measured in the same way: their numbers stand side by side, not against each other."
    )
    for part in differ:
        print(f"  {part}")
    for entry in (*ones, *others):
        print(f"{short(entry.id)}  {entry.name}  {_headlines(entry)}")


def _headlines(entry: Entry) -> str:
    numbers = entry.result.numbers()
    return "  ".join(f"{name} {numbers[name]:.4f}" for name in HEADLINES if name in numbers)


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
        "detectable": detectable(row.difference),
        "p_value": row.p_value if row.difference.known else None,
    }


def _pairing(pairing: Pairing) -> dict[str, Any]:
    test = pairing.mcnemar
    return {
        "metric": "mmlu.acc",
        "about": pairing.about,
        "seed": pairing.seed,
        "first": pairing.ours,
        "second": pairing.theirs,
        "difference": pairing.difference.value,
        "interval": pairing.difference.interval(),
        "detectable": detectable(pairing.difference),
        "p_value": pairing.difference.p_value() if pairing.difference.known else None,
        "bootstrap_interval": pairing.bootstrap,
        "mcnemar": test
        and {
            "only_first": test.ours,
            "only_second": test.theirs,
            "p_value": test.exact,
            "mid_p_value": test.mid_p,
        },
        "contested": pairing.contested,
        # JSON has no infinity: models that differ on no question.
        "effective_questions": pairing.effective if math.isfinite(pairing.effective) else None,
    }
