"""What to type so that the workflow runs some cells of a grid and no others."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataflex.evidence.results import BY_STEP, FILES
from dataflex.grid import PROFILE, Cell, about, cells, experiment_spec, parts, steps_to_evaluate
from dataflex.planning.runs import Runs


@dataclass(frozen=True)
class Asked:
    """A target of the workflow, and the methods that it is restricted to; None: all that the plan has."""

    word: str
    methods: tuple[str, ...] | None = None


def commands(runs: Runs, kept: Collection[str], file: Path, profile: Path | None) -> list[str]:
    """Return commands that make the results of some cells together.

    Whole experiments and scales go by the workflow's names, then what whole methods have in them, and of the
    rest each cell by its files. What has the same seeds and methods shares a command.

    Args:
        runs: of the grid, with the cells.
        kept: paths of the cells.
        file: the grid's.
        profile: the cluster's; None: the cells run on this machine.
    """
    seeds: dict[Asked, list[int]] = {}
    for seed in dict.fromkeys(cell.seed for cell in runs.asked):
        for one in _targets(runs, {cell.path: cell for cell in runs.asked if cell.path in kept}, seed):
            seeds.setdefault(one, []).append(seed)
    words: dict[tuple[tuple[int, ...], tuple[str, ...] | None], list[str]] = {}
    for one, own in seeds.items():
        words.setdefault((tuple(own), one.methods), []).append(one.word)
    return [
        " ".join(["snakemake", *_profile(profile), *targets, *_config(runs, own, methods, file)])
        for (own, methods), targets in words.items()
    ]


def _targets(runs: Runs, kept: Mapping[str, Cell], seed: int) -> Iterator[Asked]:
    """Targets that stand for the cells of a seed, the largest first."""
    left = {path: cell for path, cell in kept.items() if cell.seed == seed}
    found = parts(runs.grid, cells(runs.grid, [seed], runs.part.experiments, runs.part.methods))
    for name, own in found.items():
        if own and all(cell.path in left for cell in own):
            yield Asked(shlex.quote(name))
            left = {path: cell for path, cell in left.items() if cell not in own}
    for name, own in found.items():
        methods = dict.fromkeys(cell.method for cell in own)
        whole = [m for m in methods if all(cell.path in left for cell in own if cell.method == m)]
        if whole:
            yield Asked(shlex.quote(name), tuple(whole))
            left = {path: cell for path, cell in left.items() if cell not in own or cell.method not in whole}
    for path, cell in left.items():
        folder = shlex.quote(f"{runs.root}/results/{path}")
        yield Asked(f"{folder}/{{{','.join(_files(runs.grid, cell))}}}")


def _files(grid: Mapping[str, Any], cell: Cell) -> list[str]:
    """The files of a cell for which all of its jobs are run: what is told by step needs its summary."""
    kind = next(kind for kind in FILES if kind == about(experiment_spec(grid, cell)))
    return ["run.json", BY_STEP if steps_to_evaluate(grid, cell) else FILES[kind][0]]


def _profile(profile: Path | None) -> list[str]:
    if profile is None:
        return []
    return ["--profile", "slurm" if profile == PROFILE else shlex.quote(str(profile.parent))]


def _config(runs: Runs, seeds: Sequence[int], methods: Sequence[str] | None, file: Path) -> list[str]:
    said: dict[str, Any] = {"grid": str(file)}
    if list(seeds) != runs.grid["seeds"]:
        said["seeds"] = list(seeds)
    chosen = {"experiments": runs.part.experiments, "methods": methods or runs.part.methods}
    said |= {key: list(names) for key, names in chosen.items() if names}
    if runs.root != f"runs/{runs.grid['rung']}":
        said["output"] = runs.root
    return ["--config", *(shlex.quote(f"{key}={_value(value)}") for key, value in said.items())]


def _value(value: Any) -> str:
    """A value as Snakemake reads it: of a list, names without quotes."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)


def lines(command: str, width: int) -> list[str]:
    """Break a command for a terminal, with a backslash where a line goes on, so that it can be copied."""
    found = []
    while len(command) > width:
        place = command.rfind(" ", 0, width - 1) + 1 or width - 1
        found.append(command[:place] + "\\")
        command = command[place:]
    return [*found, command]
