"""Which projector the other implementations of LESS ran with, and what can't be judged by it."""

from __future__ import annotations

from collections.abc import Sequence

from paper_figures.efficiency.results import Record, Results

SLOW = "BasicProjector"
"""What trak offers where its CUDA extension is missing."""
WITHHELD = "withheld"
WHY = (
    f"{WITHHELD}: the authors' code projected with trak's {SLOW}, since the extension fast_jl was missing or "
    "did not run: its time is that of a missing package too. Install fast_jl in upstream's environment and "
    "measure again."
)


def notes(rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the reason, where a row of a table needs it."""
    return (WHY,) if any(WITHHELD in row for row in rows) else ()


def projector(results: Results, side: str, case: Record) -> str | None:
    """Return the class that a side projected with, or None where that was not recorded."""
    found = results.fact(side, side, case, "projector")
    return None if found is None else str(found)


def judged(results: Results, case: Record, saving: str) -> str:
    """Return what ours saves of the authors' time, unless theirs is slow for want of a package.

    Args:
        results: of LESS.
        case: where the authors' code was measured.
        saving: as a table shows it.
    """
    return WITHHELD if saving != "-" and SLOW in (projector(results, "authors", case) or "") else saving
