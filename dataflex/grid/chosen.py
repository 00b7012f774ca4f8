"""What a part of a grid leaves out: why something of it is not there, and how it is chosen too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dataflex.grid.cells import cells


def not_chosen(
    grid: Mapping[str, Any],
    path: str,
    seeds: Sequence[int] | None = None,
    experiments: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
) -> str:
    """Why no cell of this path is among those that were chosen, in a sentence that says how to choose it.

    Args:
        grid: see ``load``.
        path: as ``Cell.path``, of a cell that ``cells`` does not find with the rest of the arguments.
        seeds: as they were chosen; none: those of the grid. The others likewise.
        experiments: see ``seeds``.
        methods: see ``seeds``.
    """
    number = re.search(r"\.seed(\d+)$", path)
    found = [cell for cell in cells(grid, [int(number[1])]) if cell.path == path] if number else []
    if not found:
        experiment = grid["experiments"].get(path.partition("/")[0])
        if experiment is None:
            return f"the grid has no cell {path!r}: its experiments are {_listed(grid['experiments'])}"
        return (
            f"the grid has no cell {path!r}: a cell of this experiment is called "
            f"<method>.<model>.<scale>.seed<number>, with the methods {_listed(experiment['methods'])}, the "
            f"models {_listed(experiment['models'])} and the scales {_listed(experiment['scales'])}"
        )
    (cell,) = found
    asked = {
        "seeds": (cell.seed, seeds or grid["seeds"]),
        "experiments": (cell.experiment, experiments),
        "methods": (cell.method, methods),
    }
    lacking = {key: [*of, one] for key, (one, of) in asked.items() if of and one not in of}
    chosen = "; ".join(f"{key} {_listed(of) if of else 'all'}" for key, (_, of) in asked.items())
    settings = _settings(lacking)
    return f"{path} is not among the cells that were chosen ({chosen}): add it with --config {settings}"


def nothing_left(
    grid: Mapping[str, Any],
    experiment: str | None = None,
    experiments: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
) -> str:
    """That nothing of an experiment, or of the grid, is left to evaluate, and what to change.

    Args:
        grid: see ``load``.
        experiment: the one that was asked for; none: all of them.
        experiments: that were chosen; none: all.
        methods: that were chosen; none: all.
    """
    if experiment and experiments and experiment not in experiments:
        settings = _settings({"experiments": [*experiments, experiment]})
        return f"nothing of {experiment} was chosen: add it with --config {settings}"
    names = [experiment] if experiment else list(experiments or grid["experiments"])
    able = {
        method
        for name in names
        for method, spec in grid["experiments"][name]["methods"].items()
        if spec.get("report", True)
    }
    given = f" by methods=[{_listed(methods)}]" if methods else ""
    some = _listed(sorted(able))
    return f"nothing of {_listed(names)} was chosen{given}: choose among {some}, which have results"


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(map(str, names))


def _settings(lists: Mapping[str, Sequence[Any]]) -> str:
    """Settings as they are typed behind ``--config``."""
    return " ".join(f"'{key}=[{','.join(map(str, values))}]'" for key, values in lists.items())
