"""What a method changes: differences between runs of the same seed, with an interval over the seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dataflex.evidence.intervals import Interval, of_mean
from dataflex.evidence.results import CellResult
from dataflex.evidence.tolerance import mean


@dataclass(frozen=True)
class Difference:
    """A mean difference over seeds.

    Attributes:
        mean: in the metric's unit.
        seeds: that both methods were run with.
        interval: Student's, 95 %; None for a single seed.
    """

    mean: float
    seeds: tuple[int, ...]
    interval: Interval | None

    @property
    def sign(self) -> int:
        """1 or -1 if the interval lies above or below zero; 0 if it holds zero or there is none."""
        if self.interval is None:
            return 0
        low, high = self.interval
        return int(low > 0) - int(high < 0)


def paired(runs: Sequence[CellResult], base: Sequence[CellResult], metric: str) -> Difference:
    """The mean of ``runs`` less ``base`` in one number, over the seeds that both have.

    What a seed fixes (initial weights, order of the rows) is the same on both sides and drops out.

    Raises:
        ValueError: no seed in common.
        KeyError: a run lacks the number.
    """
    ours = {run.seed: run.numbers()[metric] for run in runs}
    theirs = {run.seed: run.numbers()[metric] for run in base}
    seeds = tuple(sorted(ours.keys() & theirs.keys()))
    if not seeds:
        raise ValueError("the two methods have no seed in common")
    values = [ours[seed] - theirs[seed] for seed in seeds]
    return Difference(mean(values), seeds, of_mean(values) if len(values) > 1 else None)
