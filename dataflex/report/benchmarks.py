"""Benchmarks as the page shows them: their tables, figures, and where they were measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from paper_figures.drawings import Drawing
from paper_figures.efficiency import build
from paper_figures.efficiency.overview import environments
from paper_figures.table import Table


@dataclass(frozen=True)
class Benchmarks:
    """What one folder of benchmarks fills.

    Attributes:
        name: of the folder and of the one above it, where that is a rung.
        tables: in their order.
        drawings: in their order.
        where: a line for each machine and set of packages, and for each failure.
    """

    name: str
    tables: Sequence[Table]
    drawings: Sequence[Drawing]
    where: tuple[str, ...]


def read(folders: Iterable[Path]) -> list[Benchmarks]:
    """The benchmarks in those of the folders that hold any."""
    found = []
    for folder in folders:
        every = build.read(folder)
        if every:
            lines = [line.removeprefix("- ") for line in environments(every).splitlines() if line[:2] == "- "]
            found.append(Benchmarks(_name(folder), build.tables(every), build.drawings(every), tuple(lines)))
    return found


def _name(folder: Path) -> str:
    above = folder.resolve().parent
    beside_cells = any(above.glob("*/*/run.json"))
    return f"{above.name}-{folder.name}" if beside_cells else folder.name
