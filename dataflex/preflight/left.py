"""The room that a part of a grid's runs still needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dataflex import grid as grids
from dataflex.errors import UserError
from dataflex.planning.runs import Part, Runs


def still_written(grid: Mapping[str, Any], root: Path, part: Part, scale: str | None = None) -> float:
    """GB that runs will write: their share of ``preflight.disk_gb``, which is what all of the grid's take.

    Shares are those of the plan's arithmetic; what is finished needs nothing more. Without an architecture
    of the models there is no arithmetic, and every part needs all of it.

    Args:
        grid: see ``dataflex.grid.load``.
        root: folder of the rung.
        part: seeds, experiments and methods that are to be trained; more seeds need more.
        scale: those at this one alone.
    """
    whole = float(grid.get("preflight", {}).get("disk_gb", 0))
    if not whole:
        return 0.0
    try:
        every = Runs(grid, Part(), str(root)).runs.values()
        asked = Runs(grid, part, str(root)).runs.values()
    except UserError:
        return whole
    total = sum(one.disk_bytes for one in every)
    left = sum(
        one.disk_bytes
        for one in asked
        if scale in (None, one.cell.scale)
        and _experiment(part.experiments, one.cell)
        and not (root / "train" / f"{one.cell.path}.done.json").is_file()
    )
    return whole * left / total if total else whole


def _experiment(chosen: Sequence[str] | None, cell: grids.Cell) -> bool:
    """Whether a cell is of a chosen experiment; what it builds on elsewhere is released by itself."""
    return chosen is None or cell.experiment in chosen
