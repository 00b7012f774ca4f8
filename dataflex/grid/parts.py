"""Parts of a grid that are asked for by name: an experiment, one at a scale, the benchmarks, a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dataflex.grid.cells import Cell, GridError, reported
from dataflex.grid.efficiency import benchmarks, possible

EFFICIENCY = "efficiency"
"""The workflow's target that runs a grid's benchmarks, which are no cells."""


def parts(grid: Mapping[str, Any], cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """Return the cells that each target of the workflow evaluates: ``mixture``, ``mixture_6b``.

    An experiment at its only scale has no name of its own; helper runs come with the cells that need them.

    Args:
        grid: see ``load``.
        cells: from which the parts are taken.
    """
    shown = [cell for cell in cells if reported(grid, cell)]
    found: dict[str, list[Cell]] = {}
    for experiment, spec in grid["experiments"].items():
        own = [cell for cell in shown if cell.experiment == experiment]
        found[experiment] = own
        if len(spec["scales"]) > 1:
            for scale in spec["scales"]:
                found[f"{experiment}_{scale}".lower()] = [cell for cell in own if cell.scale == scale]
    return found


def part_of(grid: Mapping[str, Any], cells: Sequence[Cell], names: Sequence[str]) -> tuple[list[Cell], bool]:
    """Return the cells that some names stand for, in their own order, and whether benchmarks are among them.

    Args:
        grid: see ``load``.
        cells: of the grid, with the seeds and methods that were chosen.
        names: keys of ``parts``, paths of cells, ``efficiency``.

    Raises:
        GridError: there is nothing of such a name, or it has no cell among these.
    """
    found = parts(grid, cells)
    measured = [EFFICIENCY] if possible(benchmarks(grid), {}) else []
    paths = {cell.path for cell in cells}
    wanted: set[str] = set()
    for name in names:
        if name in found and not found[name]:
            raise GridError(f"{name}: none of its cells is left: choose other experiments or methods")
        if name in found:
            wanted |= {cell.path for cell in found[name]}
        elif name in paths:
            wanted.add(name)
        elif name not in measured:
            raise GridError(_unknown(name, [*found, *measured], cells))
    return [cell for cell in cells if cell.path in wanted], EFFICIENCY in names


def _unknown(name: str, known: Sequence[str], cells: Sequence[Cell]) -> str:
    """What to say of a name that nothing has: the cells of the experiment that it begins with, if any."""
    beside = [cell.path for cell in cells if cell.experiment == name.partition("/")[0]]
    if "/" in name and beside:
        return f"no cell is called {name!r}; there are {', '.join(beside)}"
    example = f", and cells by their path, such as {cells[0].path}" if cells else ""
    return f"no part of the grid is called {name!r}; there are {', '.join(known)}{example}"
