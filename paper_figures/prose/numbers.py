"""What a marker names: a place below ``results/``, a quantity, and what the quantity asks for, at times.

``demo/planted/less precision`` is the mean precision of LESS in the demo rung;
``efficiency/corpus seconds 2`` how long the build took with two processes; ``calibration a_cell.median``
stands in the calibration that ``dataflex-cli plan --calibrate`` wrote; ``claims/demo underpowered`` counts
verdicts; ``coverage least`` is the worst of the intervals that verdicts rest on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dataflex.errors import UserError
from dataflex.evidence.results import CellResult, read_results
from dataflex.evidence.store.find import rungs
from paper_figures.efficiency.results import Results
from paper_figures.prose import benchmarks, calibration, cells, coverage, verdicts

CALIBRATION = "calibration"
EFFICIENCY = "efficiency"
CLAIMS = "claims"
COVERAGE = "coverage"


class Store:
    """The results of a repository, read once; ``asked`` counts the numbers that were asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked = 0
        self._rungs: dict[str, list[CellResult]] = {}

    def text(self, name: str) -> str:
        """The number as the documents show it.

        Raises:
            UserError: the results have no such place, or no such quantity there.
        """
        place, _, rest = name.partition(" ")
        quantity, _, argument = rest.partition(" ")
        self.asked += 1
        kind, _, below = place.partition("/")
        try:
            if kind == CALIBRATION:
                device = calibration.measured(self.root / "reproductions/calibration.yaml")
                return calibration.text(device, quantity)
            if kind == EFFICIENCY:
                return benchmarks.QUANTITIES[quantity](self._benchmark(below), argument)
            if kind == CLAIMS:
                if below:
                    return verdicts.of_rung(below, quantity, self._rung(below))
                every = [folder.name for folder in rungs(self.root / "results")]
                return verdicts.overall(quantity, {rung: self._rung(rung) for rung in every})
            if kind == COVERAGE:
                return coverage.text(self.root / "docs/statistics.md", quantity)
            return cells.QUANTITIES[quantity](*self._cells(kind, below), argument)
        except KeyError as error:
            raise UserError(f"{name!r} is nothing that the results have: {error} is unknown") from None

    def _rung(self, name: str) -> Sequence[CellResult]:
        if name not in self._rungs:
            self._rungs[name] = read_results(self.root / "results" / name)
        return self._rungs[name]

    def _benchmark(self, name: str) -> Results:
        file = self.root / "results" / EFFICIENCY / f"{name}.json"
        if not file.is_file():
            raise UserError(f"{file} is missing: no benchmark is called {name!r}")
        return Results(file)

    def _cells(self, rung: str, below: str) -> tuple[Sequence[CellResult], Sequence[CellResult]]:
        """The cells at a place, and all of its experiment (of the rung, where the place names none)."""
        experiment, _, method = below.partition("/")
        around = [cell for cell in self._rung(rung) if experiment in ("", cell.key[0])]
        chosen = [cell for cell in around if f"{cell.folder.name}.".startswith(f"{method}.") or not method]
        if not chosen:
            raise UserError(f"results/{rung}/{below} holds no result")
        if method and len({cell.key for cell in chosen}) > 1:
            raise UserError(f"results/{rung}/{below} are several models: write <method>.<model>.<scale>")
        return chosen, around
