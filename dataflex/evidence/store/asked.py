"""What a rung's grid asks of its cells, to be held against what was run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from dataflex import grid as grids
from dataflex.errors import UserError
from dataflex.evidence.results import CellResult
from dataflex.evidence.store.admission import Asked

GRIDS = Path("reproductions")
ROOT = "runs"
"""Stands for the folder of the runs, which is anywhere: see ``coherence.same``."""


def file_of(rung: str, folder: Path = GRIDS) -> Path:
    """The grid of a rung, ``<folder>/<rung>.yaml``.

    Raises:
        UserError: there is none; the rungs that have one are named.
    """
    known = [file.stem for file in sorted(folder.glob("*.yaml")) if _is_grid(file)]
    if rung not in known:
        raise UserError(
            f"no grid says what the cells of a rung {rung!r} should be: {folder}/ has those of "
            f"{', '.join(known) or 'none'}; name one of these, or put the grid to {folder}/{rung}.yaml"
        )
    return folder / f"{rung}.yaml"


def _is_grid(file: Path) -> bool:
    """Whether a file is a grid, and not a part of one or another register."""
    content = yaml.safe_load(file.read_text())
    return isinstance(content, dict) and {"schema", "rung", "experiments"} <= content.keys()


def of_grid(file: Path, rung: str | None = None) -> Asked:
    """The settings that a grid renders for a cell, None for one that it does not have.

    Seeds are the user's to choose, and so are output folder and texts: a cell is held against the grid with
    its own seed and domains.

    Args:
        file: the grid.
        rung: that it must be of; None: any.

    Raises:
        UserError: the file is no grid, or is one of another rung.
    """
    grid = grids.load(file)
    if rung not in (None, grid["rung"]):
        raise UserError(
            f"{file} is the grid of the rung {grid['rung']!r}, and the cells are to be of {rung!r}"
        )

    def asked(result: CellResult) -> dict[str, Any] | None:
        try:
            cell = grids.cell_from_path(grid, result.path, [result.seed])
        except UserError:
            return None
        # Which domains there are the corpus decides, and the grid does not have it.
        domains = str(result.run["config"].get("dataset", "")).split(",")
        return grids.render(grid, cell, ROOT, domains)

    return asked
