"""The comparisons that a grid is for: methods beside their baseline, and what was published of them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dataflex.errors import UserError
from dataflex.grid import Cell, about, reported
from dataflex.planning.power import detectable_over_seeds, detectable_range, disagreement_that_hides, verdict

Published = Mapping[tuple[str, str, str, str, str], float]


@dataclass(frozen=True)
class Comparison:
    """A method beside the baseline, at one model and scale, over the seeds asked."""

    experiment: str
    method: str
    baseline: str
    model: str
    scale: str
    seeds: tuple[int, ...]
    questions: int | None
    """Of the test; None: not known before the corpus is there."""
    published: float | None
    """Difference of accuracies, as a share."""

    @property
    def verdict(self) -> str | None:
        """Whether the published effect could be seen; None without one."""
        if self.published is None or self.questions is None:
            return None
        return verdict(self.published, self.questions, len(self.seeds))

    def as_dict(self) -> dict[str, Any]:
        """The comparison in JSON types; effects in points, that is percent."""
        seen = detectable_range(self.questions, len(self.seeds)) if self.questions else None
        hides = None
        if self.published and self.questions:
            hides = round(disagreement_that_hides(self.published, self.questions), 4)
        return {
            "experiment": self.experiment,
            "method": self.method,
            "baseline": self.baseline,
            "model": self.model,
            "scale": self.scale,
            "seeds": list(self.seeds),
            "questions": self.questions,
            "detectable_points": [round(100 * seen.least, 3), round(100 * seen.most, 3)] if seen else None,
            "detectable_over_seeds_sd": detectable_over_seeds(len(self.seeds)),
            "published_points": None if self.published is None else round(100 * self.published, 3),
            "seen_up_to_disagreement": hides,
            "verdict": self.verdict,
        }


def comparisons(
    grid: Mapping[str, Any], cells: Sequence[Cell], questions: Mapping[str, int | None]
) -> list[Comparison]:
    """Return the comparisons of a plan's cells, in their order.

    Args:
        grid: see ``dataflex.grid.load``.
        cells: that are trained.
        questions: of the test, by cell path.
    """
    seeds: dict[tuple[str, str, str, str], list[int]] = {}
    paths = {}
    for cell in cells:
        key = (cell.experiment, cell.method, cell.model, cell.scale)
        seeds.setdefault(key, []).append(cell.seed)
        paths[key] = cell
    found = []
    for key, own in seeds.items():
        experiment, method, model, scale = key
        spec = grid["experiments"][experiment]
        baseline = spec.get("baseline")
        both = sorted(set(own) & set(seeds.get((experiment, str(baseline), model, scale), ())))
        if about(spec) != "model" or method == baseline or not both or not reported(grid, paths[key]):
            continue
        effect = published_effect(spec, method, str(baseline), model, scale)
        found.append(
            Comparison(
                experiment,
                method,
                str(baseline),
                model,
                scale,
                tuple(both),
                questions[paths[key].path],
                effect,
            )
        )
    return found


def published_effect(
    experiment: Mapping[str, Any], method: str, baseline: str, model: str, scale: str
) -> float | None:
    """Return the published accuracy of a method less the baseline's, as a share; None if there is none."""
    said = experiment.get("published")
    if said is None or scale not in said["scales"] or not {method, baseline} <= set(said["methods"]):
        return None
    table = _published(said["file"])
    values = [
        table.get((said["table"], model, said["scales"][scale], said["methods"][name], said["metric"]))
        for name in (method, baseline)
    ]
    if None in values:
        return None
    return (values[0] - values[1]) / (100 if said["unit"] == "percent" else 1)  # type: ignore[operator]


@cache
def _published(name: str) -> Published:
    file = Path(name)
    if not file.is_file():
        raise UserError(
            f"the grid names the published numbers in {file}, which is not there: start "
            "at the repository's root"
        )
    with file.open(newline="") as stream:
        return {
            (row["table"], row["model"], row["scale"], row["method"], row["metric"]): float(row["value"])
            for row in csv.DictReader(stream)
        }
