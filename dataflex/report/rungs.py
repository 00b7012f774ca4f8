"""What a report is about: rungs with their results, and the grids that say what there could be."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dataflex.evidence.results import CellResult, read_results
from dataflex.evidence.store.find import STORE
from dataflex.evidence.store.find import rungs as folders_of
from dataflex.evidence.store.identity import result_id
from dataflex.evidence.unfinished import read_finished
from dataflex.grid import load

GRIDS = Path("reproductions")


@dataclass(frozen=True)
class Rung:
    """The results of one rung.

    Attributes:
        name: of the rung, as ``demo``.
        results: its cells.
        ids: of the results, in the same order.
        unfinished: experiment and cell of those that were begun and have no whole result.
    """

    name: str
    results: tuple[CellResult, ...]
    ids: tuple[str, ...]
    unfinished: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """One line a result: its id and its place."""
        return [
            f"{name}  {self.name}/{result.folder.parent.name}/{result.folder.name}\n"
            for name, result in zip(self.ids, self.results, strict=True)
        ]


@dataclass(frozen=True)
class GridFile:
    """A grid, with what its author wrote above it.

    Attributes:
        file: where it lies.
        grid: as loaded.
        preamble: the comment at its head, without the marks.
    """

    file: Path
    grid: Mapping[str, Any]
    preamble: str


def is_store(folder: Path) -> bool:
    """Whether a folder holds rungs, not the results of one."""
    return not any(folder.glob("*/*/run.json")) and any(folder.glob("*/*/*/run.json"))


def read_store(store: Path = STORE) -> list[Rung]:
    """Read the results of all rungs.

    Raises:
        UserError: there are no results, or a cell is malformed.
    """
    return [_rung(folder.name, read_results(folder)) for folder in folders_of(store)]


def read_rung(folder: Path, grids: Sequence[GridFile], named: bool) -> Rung:
    """Read the results of one rung, as far as its cells are finished.

    Args:
        folder: of its results.
        grids: that may say what the folder's rung is called.
        named: whether the user named the grid.

    Raises:
        UserError: no cell is finished, or one is malformed.
    """
    above = folder.resolve()
    name = above.parent.name if above.name == STORE.name else above.name
    return _rung(str(grids[0].grid["rung"]) if named else name, *read_finished(folder))


def _rung(name: str, results: Sequence[CellResult], unfinished: tuple[str, ...] = ()) -> Rung:
    return Rung(name, tuple(results), tuple(map(result_id, results)), unfinished)


def read_grids(file: Path | None) -> list[GridFile]:
    """Read a grid file, or every grid in ``reproductions/``.

    Raises:
        UserError: a grid can't be used.
    """
    files = [file] if file is not None else sorted(GRIDS.glob("*.yaml"))
    return [
        GridFile(entry, load(entry), _preamble(entry))
        for entry in files
        if file is not None or _is_grid(entry)
    ]


def _is_grid(file: Path) -> bool:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError:
        return False
    return isinstance(content, dict) and {"schema", "rung", "experiments"} <= content.keys()


def _preamble(file: Path) -> str:
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    return "\n".join(lines)


def store_hash(rungs: Sequence[Rung]) -> str:
    """SHA-256 over all results: their ids and places, sorted."""
    lines = sorted(line for rung in rungs for line in rung.lines())
    return hashlib.sha256("".join(lines).encode()).hexdigest()
