"""The room that the runs which a workflow was asked for still need."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from dataflex.errors import UserError
from dataflex.planning.runs import Part, Runs


def still_written(grid: Mapping[str, Any], root: Path, paths: Collection[str] | None = None) -> float:
    """GB that runs will write: their share of ``preflight.disk_gb``, which is what all of the grid's take.

    Shares are those of the plan's arithmetic; what is finished needs nothing more, and a run with another
    seed as much as one of the grid's. Without an architecture of the models there is no arithmetic, and all
    of it is needed.

    Args:
        grid: see ``dataflex.grid.load``.
        root: folder of the rung.
        paths: of all cells that will be trained, side by side perhaps; None: all of the grid.
    """
    whole = float(grid.get("preflight", {}).get("disk_gb", 0))
    if not whole:
        return 0.0
    try:
        every = Runs(grid, Part(), str(root)).runs.values()
    except UserError:
        return whole
    total = sum(one.disk_bytes for one in every)
    if not total:
        return whole
    # Of each seed alike.
    sizes = {_but_its_seed(one.cell.path): one.disk_bytes for one in every}
    asked = [one.cell.path for one in every] if paths is None else paths
    left = [path for path in asked if not (root / "train" / f"{path}.done.json").is_file()]
    return whole * sum(sizes.get(_but_its_seed(path), 0) for path in left) / total


def _but_its_seed(path: str) -> str:
    return path.rpartition(".seed")[0]
