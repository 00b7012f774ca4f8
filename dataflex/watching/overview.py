"""The whole grid at one moment: every cell's state, what is ready, and sums over them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataflex.watching.benchmarks import BenchmarkState, benchmark_state
from dataflex.watching.blockers import Blockers
from dataflex.watching.duration import duration
from dataflex.watching.expected import Expected, expected
from dataflex.watching.states import STATES, CellState, State, cell_state
from dataflex.watching.supplies import SupplyState, supply_state

STOPPED: tuple[State, ...] = ("interrupted", "lost", "failed")
"""States in which something has begun and does not go on by itself."""


@dataclass(frozen=True)
class Overview:
    """A grid at one moment.

    Attributes:
        root: the rung's folder.
        now: Unix time.
        cells: of all experiments.
        corpora: whether they are ready, by name.
        models: the same of those that are made here.
        grid: the grid file, if there is one to follow.
        note: why it was not followed.
        benchmarks: of the efficiency experiments.
        supplies: the jobs before the trainings.
    """

    root: Path
    now: float
    cells: tuple[CellState, ...]
    corpora: Mapping[str, bool]
    models: Mapping[str, bool]
    grid: Path | None
    note: str | None
    benchmarks: tuple[BenchmarkState, ...] = ()
    supplies: tuple[SupplyState, ...] = ()

    def blocker(self, cells: Sequence[CellState]) -> str | None:
        """What the waiting ones of some cells wait for in the end; None if none waits."""
        return Blockers(self.root, self.cells, self.supplies).of(cells)

    @property
    def finished(self) -> bool:
        """Whether every cell is trained and evaluated, and every benchmark measured."""
        measured = all(one.state == "measured" for one in self.benchmarks)
        return bool(self.cells or self.benchmarks) and all(cell.finished for cell in self.cells) and measured

    def counts(self) -> dict[str, int]:
        """Sums over all cells."""
        states: Counter[str] = Counter(cell.state for cell in self.cells)
        return {
            "cells": len(self.cells),
            "trained": sum(cell.trained for cell in self.cells),
            "to_evaluate": sum(cell.cell.reported for cell in self.cells),
            "evaluated": states["evaluated"],
            "running": states["training"] + states["evaluating"],
            "queued": states["queued"],
            **{state: states[state] for state in STOPPED},
            "restarts": sum(cell.restarts for cell in self.cells),
        }

    def training_left(self) -> tuple[float | None, str]:
        """Seconds until all cells are trained, and a sentence; None wherever that would be a guess.

        Cells that have not begun have shown no pace, and nobody knows when a queue lets them go.
        """
        left = [cell for cell in self.cells if not cell.trained]
        if not left:
            return None, "every cell is trained" if self.cells else "there is no cell"
        idle = sum(cell.state != "training" for cell in left)
        if idle:
            return None, f"no estimate for the whole: {idle} {_cells(idle)} not training"
        times = [cell.seconds_left for cell in left if cell.seconds_left is not None]
        if len(times) < len(left):
            silent = len(left) - len(times)
            return None, f"no estimate for the whole: {silent} {_cells(silent)} yet to show a pace"
        return max(times), f"all trained in about {duration(max(times))}"

    def as_dict(self) -> dict[str, Any]:
        """JSON types."""
        seconds, sentence = self.training_left()
        return {
            "root": str(self.root),
            "grid": str(self.grid) if self.grid else None,
            "note": self.note,
            "time": self.now,
            "finished": self.finished,
            "summary": {
                **self.counts(),
                "states": {state: sum(cell.state == state for cell in self.cells) for state in STATES},
                "training_seconds_left": seconds,
                "training_left": sentence,
            },
            "corpora": dict(self.corpora),
            "models": dict(self.models),
            "supplies": [one.as_dict() for one in self.supplies],
            "cells": [cell.as_dict() for cell in self.cells],
            "benchmarks": [one.as_dict() for one in self.benchmarks],
        }


def look(root: Path, grid_file: Path | None = None) -> Overview:
    """Look at a rung's folder as it is now; nothing is written.

    Raises:
        UserError: it does not exist, or the grid file that was given can't be used.
    """
    return look_for(root, expected(root, grid_file))


def look_for(root: Path, what: Expected) -> Overview:
    """Look for what is expected in a rung's folder."""
    now = time.time()
    return Overview(
        root,
        now,
        tuple(cell_state(root, cell, now) for cell in what.cells),
        {name: file.is_file() for name, file in what.corpora.items()},
        {name: file.is_file() for name, file in what.models.items()},
        what.grid,
        what.note,
        tuple(benchmark_state(root, name, now) for name in what.benchmarks),
        tuple(supply_state(root, one, now) for one in what.supplies),
    )


def _cells(count: int) -> str:
    return "cell is" if count == 1 else "cells are"
