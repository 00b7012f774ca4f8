"""What a rung's grid asks of its cells, to be held against what was run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dataflex import grid as grids
from dataflex.errors import UserError
from dataflex.evidence.results import CellResult
from dataflex.evidence.store.admission import Asked

GRIDS = Path("reproductions")
ROOT = "runs"
"""Stands for the folder of the runs, which is anywhere: see ``coherence.same``."""


def of_rung(rung: str, folder: Path = GRIDS) -> Asked | None:
    """The settings that ``<folder>/<rung>.yaml`` renders for a cell; None without such a grid."""
    file = folder / f"{rung}.yaml"
    if not file.is_file():
        return None
    grid = grids.load(file)

    def asked(result: CellResult) -> dict[str, Any] | None:
        experiment, method, model, scale = result.key
        path = f"{experiment}/{method}.{model}.{scale}.seed{result.seed}"
        try:
            cell = grids.cell_from_path(grid, path, [result.seed])
        except UserError:
            return None
        # Which domains there are the corpus decides, and the grid does not have it.
        domains = str(result.run["config"].get("dataset", "")).split(",")
        return grids.render(grid, cell, ROOT, domains)

    return asked
