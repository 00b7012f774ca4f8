"""Why nothing starts: the first thing that is missing below what waits, told as it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from dataflex.watching.states import CellState
from dataflex.watching.supplies import SupplyState

STUCK = ("failed", "lost", "interrupted")


class _Node(NamedTuple):
    """Something that others wait for."""

    name: str
    state: str
    reason: str | None
    needs: tuple[Path, ...]


class Blockers:
    """Finds what cells wait for in the end.

    Args:
        root: the rung's folder.
        cells: all of the grid.
        supplies: the jobs before them.
    """

    def __init__(self, root: Path, cells: Iterable[CellState], supplies: Iterable[SupplyState]) -> None:
        self._nodes: dict[Path, _Node] = {}
        for one in supplies:
            needs = tuple(file for _, file in one.supply.needs)
            name = f"{one.supply.rule} {one.supply.name}"
            self._nodes[one.supply.sentinel] = _Node(name, one.state, one.reason, needs)
        for cell in cells:
            sentinel = root / "train" / f"{cell.cell.path}.done.json"
            needs = tuple(file for _, file in cell.cell.needs)
            self._nodes[sentinel] = _Node(f"train {cell.cell.path}", cell.state, cell.reason, needs)

    def of(self, cells: Sequence[CellState]) -> str | None:
        """What the waiting ones of some cells wait for: what is stuck, else the first that is missing.

        None if none waits.
        """
        found: list[_Node | str] = []
        for cell in cells:
            if cell.state == "waiting":
                found += [self._root_of(name, file) for name, file in cell.cell.needs if not file.is_file()]
        if not found:
            return None
        first = next((one for one in found if isinstance(one, _Node) and one.state in STUCK), found[0])
        if isinstance(first, str):
            return first
        return f"{first.name}: {first.state}" + (f": {first.reason}" if first.reason else "")

    def _root_of(self, name: str, sentinel: Path) -> _Node | str:
        """Follow what is missing until something waits for nothing else."""
        node = self._nodes.get(sentinel)
        if node is None:
            return name
        below = [file for file in node.needs if not file.is_file()] if node.state == "waiting" else []
        roots = [self._root_of(file.name, file) for file in below]
        stuck = (one for one in roots if isinstance(one, _Node) and one.state in STUCK)
        return next(stuck, roots[0] if roots else node)
