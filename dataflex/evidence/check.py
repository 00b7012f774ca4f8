"""Are the results what the repository's reference numbers say?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dataflex import grid as grids
from dataflex.errors import UserError
from dataflex.evidence import checking, digests, reference
from dataflex.evidence.coherence import never_diverged
from dataflex.evidence.expected import REFERENCES, file_of_grid, of_cells
from dataflex.evidence.results import CellResult, read_results
from dataflex.evidence.store import admission, asked, timings
from dataflex.evidence.store.find import STORE, TIMINGS, rungs
from dataflex.evidence.unfinished import left_out, read_finished

LOG_WIDTH = 140
"""Columns where the output goes to a file: eighty would fold the table's cells."""


def check(
    folder: Path | None,
    reference_file: Path | None = None,
    grid_file: Path | None = None,
    *,
    allow_other_corpus: bool = False,
    all_rows: bool = False,
) -> bool:
    """Hold results against the repository's reference numbers, print what is wrong; True if anything is.

    A run's summaries must follow from its own outcomes (questions and documents, or picked rows), its
    settings must be those of its grid, and each number must lie within the tolerance that was measured from
    repeated runs. Reviewed results must also equal their recorded digests and means, timings their digests
    and their form.

    Args:
        folder: results of a grid; None: all reviewed results in ``results/``.
        reference_file: of the reference numbers; None: those of the rung; of ``folder`` those of its grid if
            it has any, and of the demo where no grid is named.
        grid_file: of ``folder``: the grid that its cells were run by.
        allow_other_corpus: of ``folder``: whether it may be that no number was of the reference's texts.
        all_rows: print every number, not only what is out.

    Raises:
        UserError: something is missing or malformed, or nothing could be compared.
    """
    if folder is not None:
        return _check_new(folder, reference_file, grid_file, allow_other_corpus, all_rows)
    if grid_file is not None or allow_other_corpus:
        raise UserError(
            "--grid and --allow-other-corpus go with a results folder: reviewed results are held against "
            "reproductions/RUNG.yaml, and all of them have reference numbers"
        )
    return _check_committed(reference_file, all_rows)


def _check_committed(reference_file: Path | None, all_rows: bool) -> bool:
    """Check every rung below ``results/`` against its grid and reference file; True if anything failed."""
    failed = False
    for rung in rungs():
        file, grid = reference_file or REFERENCES / f"{rung.name}.csv", asked.file_of(rung.name)
        results = read_results(rung)
        # Of one seed no tolerance can be measured: digests and outcomes are all that there is to check.
        unmeasured = not file.is_file() and reference.one_seed(results)
        references = [] if unmeasured else reference.read(file)
        altered = [f"{name}: differs from its recorded digest" for name in digests.changed(rung)]
        counts, troubles = _check_results(rung, results, references, grid, altered, all_rows)
        uncompared = 0 if unmeasured else counts["no reference"] + counts["other corpus"]
        _require_all(rung, counts, counts["missing"] + uncompared)
        failed |= _failed(counts, troubles)
    return _check_timings(STORE / TIMINGS) or failed


def _check_timings(folder: Path) -> bool:
    """Check digests and form of the timings, if there are any; True if anything is wrong."""
    if not folder.is_dir():
        return False
    console = _console()
    wrong = list(timings.troubles(folder))
    for trouble in wrong:
        console.print(f"{folder}: {trouble}", style="red", markup=False, highlight=False, soft_wrap=True)
    line = f"{folder}: timings, held against their digests and their form; contradictions: {len(wrong)}"
    console.print(line, markup=False, highlight=False, soft_wrap=True)
    return bool(wrong)


def _check_new(
    folder: Path, named: Path | None, grid_file: Path | None, allow_other_corpus: bool, all_rows: bool
) -> bool:
    """Check a grid's results; True if anything failed.

    Raises:
        UserError: a cell is not finished, a number of the reference is missing, or nothing could be compared.
    """
    results, unfinished = read_finished(folder)
    grid = None if grid_file is None else grids.load(grid_file)
    file = named or (REFERENCES / "demo.csv" if grid is None else file_of_grid(grid))
    references = [] if file is None else reference.read(file)
    if grid is not None:
        references = of_cells(references, grid, results)
    counts, troubles = _check_results(folder, results, references, grid_file, [], all_rows)
    if unfinished:
        raise UserError(left_out(folder, unfinished))
    if file is None:
        told = (
            f"No reference numbers are known of the cells of {grid_file}: outcomes and settings are all that "
            "was checked. Name some with --reference."
        )
        _console().print(told, markup=False, highlight=False, soft_wrap=True)
        return _failed(counts, troubles)
    _require_all(folder, counts, counts["missing"])
    if not (counts["in"] or counts["out"] or counts["changed"] or allow_other_corpus):
        raise UserError(
            f"{folder}: nothing was compared, since {file} has no number of these cells and texts: "
            "name reference numbers of their corpus with --reference, or say --allow-other-corpus"
        )
    return _failed(counts, troubles)


def _require_all(folder: Path, counts: Counter[checking.Verdict], lacking: int) -> None:
    if lacking:
        raise UserError(
            f"{folder}: {counts['missing']} numbers of the reference are missing, "
            f"{counts['no reference']} have no reference, {counts['other corpus']} are of another corpus"
        )


def _failed(counts: Counter[checking.Verdict], troubles: int) -> bool:
    return bool(troubles) or any(counts[verdict] for verdict in checking.BAD)


def _check_results(
    folder: Path,
    results: Sequence[CellResult],
    references: Sequence[reference.Reference],
    grid: Path | None,
    altered: Sequence[str],
    all_rows: bool,
) -> tuple[Counter[checking.Verdict], int]:
    """Print what is wrong with some results; how many numbers have which verdict, and how many troubles."""
    console = _console()
    of_grid = None if grid is None else asked.of_grid(grid)
    troubles = [
        *altered,
        *(f"{result.path}: {sentence}" for result, sentence in admission.troubles(results, of_grid)),
    ]
    comparisons = checking.compare(results, references)
    _show(console, [row for row in comparisons if all_rows or row.verdict in _SHOWN])
    for trouble in troubles:
        console.print(trouble, style="red", markup=False, highlight=False, soft_wrap=True)
    counts = Counter(comparison.verdict for comparison in comparisons)
    _summarise(console, folder, results, comparisons)
    for line in (
        *(() if troubles else never_diverged(results)),
        f"settings held against {grid}"
        if grid is not None
        else "No grid was held against these cells: their settings may be anything. Name it with --grid.",
        f"numbers: {_told(counts)}; contradictions: {len(troubles)}",
        *(
            [
                "Numbers of another corpus are not comparable: the reference was measured on other texts "
                "(another Python version, other package versions, or your own files)."
            ]
            if counts["other corpus"]
            else []
        ),
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return counts, len(troubles)


_SHOWN: frozenset[checking.Verdict] = frozenset({*checking.BAD, "missing"})


def _show(console: Console, comparisons: Sequence[checking.Comparison]) -> None:
    if not comparisons:
        return
    table = Table(title="Results beside their reference numbers", title_justify="left")
    for name in ("cell", "metric", "seed"):
        table.add_column(name, overflow="fold")
    for name in ("value", "reference", "tolerance", "off by"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for row in comparisons:
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
    results: Sequence[CellResult],
    comparisons: Sequence[checking.Comparison],
) -> None:
    """A line an experiment: how many cells, and how their numbers compare."""
    verdicts: dict[str, Counter[checking.Verdict]] = defaultdict(Counter)
    for comparison in comparisons:
        verdicts[comparison.key[0]][comparison.verdict] += 1
    cells = Counter(result.key[0] for result in results)
    console.print(f"{folder}: {len(results)} cells", markup=False, highlight=False, soft_wrap=True)
    width = max(map(len, verdicts), default=0)
    for experiment, counts in sorted(verdicts.items()):
        line = f"  {experiment:<{width}}  {cells[experiment]:>4} cells  {_told(counts)}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _told(counts: Counter[checking.Verdict]) -> str:
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in sorted(counts)) or "none"


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=LOG_WIDTH)
