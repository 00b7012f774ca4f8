"""What was not run, and what was assumed: read from the grid files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from dataflex.grid import cells, reported
from dataflex.report.rungs import GridFile, Rung


@dataclass(frozen=True)
class Part:
    """An experiment of a grid at one scale.

    Attributes:
        rung: of the grid.
        experiment: its name.
        title: what it is about.
        scale: its name.
        asked: cells that the grid evaluates.
        missing: those of them that have no result.
    """

    rung: str
    experiment: str
    title: str
    scale: str
    asked: int
    missing: tuple[str, ...]

    @property
    def there(self) -> str:
        """How many cells have results, in words."""
        if not self.missing:
            return f"all {self.asked}"
        return f"{self.asked - len(self.missing) or 'none'} of {self.asked}"


@dataclass(frozen=True)
class Assumption:
    """A setting that the sources do not give, the choice made here, and why; the latter may be empty."""

    setting: str
    choice: str
    why: str


@dataclass(frozen=True)
class Assumptions:
    """Those of one part of a grid."""

    rung: str
    experiment: str
    entries: tuple[Assumption, ...]


def parts(rungs: Sequence[Rung], grids: Sequence[GridFile], seeds: Collection[int] = ()) -> list[Part]:
    """Every experiment and scale of the grids, with what has no result.

    Args:
        rungs: with their results.
        grids: that say what there could be.
        seeds: that were asked for. Without any: those of the grid, and those that a result of the experiment
            has, since whoever ran one method with a seed means to run what it is compared with.
    """
    there = {
        (rung.name, result.folder.parent.name, result.folder.name)
        for rung in rungs
        for result in rung.results
    }
    run = {(rung.name, result.key[0], result.seed) for rung in rungs for result in rung.results}
    found = []
    for entry in grids:
        grid, rung = entry.grid, str(entry.grid["rung"])
        for experiment, spec in grid["experiments"].items():
            found_here = {seed for name, other, seed in run if (name, other) == (rung, experiment)}
            chosen = sorted(seeds) or sorted({*grid["seeds"], *found_here})
            wanted = [cell for cell in cells(grid, chosen, [experiment]) if reported(grid, cell)]
            for scale in spec["scales"]:
                own = [cell for cell in wanted if cell.scale == scale]
                missing = tuple(cell.name for cell in own if (rung, experiment, cell.name) not in there)
                found.append(Part(rung, experiment, str(spec.get("title", "")), scale, len(own), missing))
    return found


def assumptions(grids: Sequence[GridFile]) -> list[Assumptions]:
    """What stands under ``not_published`` in the grids, by experiment."""
    return [made for entry in grids for made in _of_grid(entry)]


def _of_grid(entry: GridFile) -> Iterator[Assumptions]:
    rung = str(entry.grid["rung"])
    sections = [*entry.grid["experiments"].items()]
    sections += [(f"efficiency, {name}", spec) for name, spec in entry.grid.get("efficiency", {}).items()]
    for name, spec in sections:
        told = tuple(
            Assumption(str(line["setting"]), str(line["choice"]), str(line.get("why", "")))
            for line in spec.get("not_published", ())
        )
        if told:
            yield Assumptions(rung, name, told)
