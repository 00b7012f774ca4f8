"""Which reference numbers a run is held against: those that were named, else those of its grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dataflex import grid as grids
from dataflex.evidence.reference import Reference
from dataflex.evidence.results import CellResult

REFERENCES = Path("reproductions/reference")


def file_of_grid(grid: Mapping[str, Any]) -> Path | None:
    """The file that a grid names or that its rung has; None where there is neither."""
    if "reference" in grid:
        return Path(grid["reference"])
    file = REFERENCES / f"{grid['rung']}.csv"
    return file if file.is_file() else None


def of_cells(
    references: Sequence[Reference], grid: Mapping[str, Any], results: Sequence[CellResult]
) -> list[Reference]:
    """Those numbers that a run by a grid can have: of the grid's cells, and of the cells that are there."""
    asked = {(cell.experiment, cell.method, cell.model, cell.scale) for cell in grids.cells(grid)}
    keys = asked | {result.key for result in results}
    return [reference for reference in references if reference.key in keys]
