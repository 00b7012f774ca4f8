"""``dataflex-cli check``: are the results what the repository's reference numbers say?"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from dataflex.errors import UserError
from dataflex.evidence import checking, digests, reference
from dataflex.evidence.results import CellResult, read_results
from dataflex.evidence.store import admission, asked
from dataflex.evidence.store.find import rungs

REFERENCES = Path("reproductions/reference")
LOG_WIDTH = 140
"""Columns where the output goes to a file: eighty would fold the table's cells."""


def check(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]", help="A results folder. Without it: all reviewed results in results/."
        ),
    ] = None,
    reference_file: Annotated[
        Path | None,
        typer.Option(
            "--reference", help="CSV of reference numbers. Default: reproductions/reference/demo.csv."
        ),
    ] = None,
    all_rows: Annotated[
        bool, typer.Option("--all", help="Show every number, not only the pooled ones and those that fail.")
    ] = False,
) -> None:
    """Compare results with the repository's reference numbers.

    A run's summaries must follow from its own outcomes (questions and documents, or picked rows), and each
    number must lie within the tolerance that was measured from repeated runs. Reviewed results must also
    equal their recorded digests and means. Exit status: 0 all in, 1 a number is out or was changed, 2
    something is missing or malformed.
    """
    if folder is not None:
        failed = _check_folder(
            folder, reference_file or REFERENCES / "demo.csv", reviewed=False, all_rows=all_rows
        )
    else:
        failed = _check_committed(reference_file, all_rows)
    if failed:
        raise typer.Exit(1)


def _check_committed(reference_file: Path | None, all_rows: bool) -> bool:
    """Check every rung below ``results/`` against its own reference file; True if anything failed."""
    failed = False
    for rung in rungs():
        file = reference_file or REFERENCES / f"{rung.name}.csv"
        failed |= _check_folder(rung, file, reviewed=True, all_rows=all_rows)
    return failed


def _check_folder(folder: Path, reference_file: Path, *, reviewed: bool, all_rows: bool) -> bool:
    console = Console()
    if not console.is_terminal:
        console = Console(width=LOG_WIDTH)
    results = read_results(folder)
    # Of one seed no tolerance can be measured: digests and outcomes are all that there is to check.
    unmeasured = reviewed and not reference_file.is_file() and reference.one_seed(results)
    references = [] if unmeasured else reference.read(reference_file)
    troubles = (
        [f"{name}: differs from its recorded digest" for name in digests.changed(folder)] if reviewed else []
    )
    for result, sentence in admission.troubles(results, asked.of_rung(folder.name) if reviewed else None):
        troubles.append(f"{result.folder.parent.name}/{result.folder.name}: {sentence}")
    comparisons = checking.compare(results, references)
    _show(console, comparisons, all_rows)
    for trouble in troubles:
        console.print(trouble, style="red", markup=False, highlight=False, soft_wrap=True)
    counts = Counter(comparison.verdict for comparison in comparisons)
    _summarise(console, folder, results, counts, len(troubles))
    if counts["missing"] or (
        reviewed and not unmeasured and (counts["no reference"] or counts["other corpus"])
    ):
        raise UserError(
            f"{folder}: {counts['missing']} numbers of the reference are missing, "
            f"{counts['no reference']} have no reference, {counts['other corpus']} are of another corpus"
        )
    return bool(troubles) or any(counts[verdict] for verdict in checking.BAD)


def _show(console: Console, comparisons: list[checking.Comparison], all_rows: bool) -> None:
    table = Table(title="Results beside their reference numbers", title_justify="left")
    for name in ("cell", "metric", "seed"):
        table.add_column(name, overflow="fold")
    for name in ("value", "reference", "tolerance", "off by"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    pooled = ("mmlu.acc", "mmlu.answer_nll", "bits_per_byte.all", "precision", "loss.target")
    for row in comparisons:
        if (
            not all_rows
            and row.verdict in ("in", "other corpus", "no reference")
            and row.metric not in pooled
        ):
            continue
        known = row.reference
        off = None if known is None or row.value is None else row.value - known.mean
        table.add_row(
            "/".join(row.key[:2]),
            row.metric,
            "mean" if row.seed is None else str(row.seed),
            _number(row.value),
            _number(known.mean if known else None),
            _number((known.tolerance if row.seed is not None else 0.0) if known else None),
            "" if off is None else f"{off:+.5f}",
            row.verdict,
            style="red" if row.verdict in checking.BAD else None,
        )
    console.print(table)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.5f}"


def _summarise(
    console: Console,
    folder: Path,
    results: list[CellResult],
    counts: Counter[checking.Verdict],
    troubles: int,
) -> None:
    parts = [f"{counts[verdict]} {verdict}" for verdict in sorted(counts)]
    lines = [f"{folder}: {len(results)} cells; numbers: {', '.join(parts)}; contradictions: {troubles}"]
    if counts["other corpus"]:
        lines.append(
            "Numbers of another corpus are not comparable: the reference was measured on other texts "
            "(another Python version, other package versions, or your own files)."
        )
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
