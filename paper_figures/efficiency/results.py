"""What was measured, read back: spreads of passes and ratios to the plain pass."""

from __future__ import annotations

import copy
import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataflex.evidence.store.identity import SHOWN
from paper_figures.sources import file_id

BY_LENGTH, POOL_ORDER = "plain, by length", "plain"
"""Plain passes over rows of similar length, as this library cuts them, and over rows as they come."""
PLAIN = (BY_LENGTH, POOL_ORDER)
BASELINES = {
    "exact": PLAIN,
    "projected": PLAIN,
    POOL_ORDER: (BY_LENGTH,),
    "plain one by one": PLAIN,
    "upstream": PLAIN,
    "authors": PLAIN,
    "upstream, fp32": PLAIN,
    "upstream, gradients": PLAIN,
    "losses": ("plain forward",),
    "upstream loss": ("plain forward",),
    "library": ("blocked product",),
}
"""What a variant is compared with in its own process: the first of these that was measured."""
STEPS = "steps"
"""The benchmark whose variants are all compared with one."""
STOCK = "stock"
"""LLaMA-Factory's own trainer."""
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Spread:
    """Median, least and largest of some measurements."""

    median: float
    least: float
    most: float
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """Return the spread, or None of nothing."""
        found = sorted(values)
        return cls(statistics.median(found), found[0], found[-1], len(found)) if found else None

    def __str__(self) -> str:
        if self.n == 1:
            return f"{short(self.median)} (n=1)"
        return f"{short(self.median)} [{short(self.least)} to {short(self.most)}] n={self.n}"


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return a 95 % interval of the median that assumes no distribution, or None of fewer than six values.

    It is between two order statistics: the number of values below the median is binomial.
    """
    found, n = sorted(values), len(values)
    outside = cut = 0
    while outside + math.comb(n, cut) <= 0.025 * 2**n:
        outside += math.comb(n, cut)
        cut += 1
    return (found[cut - 1], found[n - cut]) if cut else None


def short(value: float) -> str:
    """Return a number with three digits."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


class Results:
    """One benchmark's file; ``ids`` are those of the files that it was read from, as tables show them."""

    def __init__(self, path: Path) -> None:
        content = json.loads(path.read_text())
        self.name, self.benchmark, self.about = path.stem, content["benchmark"], content["about"]
        self.environments, self.failures = content["environments"], content["failures"]
        self._runs, self._memory = content["runs"], content["memory"]
        self.ids: tuple[str, ...] = (file_id(path)[:SHOWN],)

    @classmethod
    def joined(cls, parts: Sequence[Results]) -> Results:
        """Return what several files measured as one, described as the first; named as the benchmark."""
        made = copy.copy(parts[0])
        made.name, made.environments, made.failures, made._runs, made._memory = made.benchmark, {}, [], [], []
        made.ids = tuple(name for part in parts for name in part.ids)
        for part in parts:
            for side, found in part.environments.items():
                # The jobs of one side may have run on machines that differ.
                same = made.environments.get(side, found) == found
                made.environments[side if same else f"{side}, {part.name}"] = found
            made.failures += part.failures
            made._runs += part._runs
            made._memory += part._memory
        return made

    def cases(self) -> list[dict[str, Any]]:
        """Return the cases in the order of measurement."""
        found: list[dict[str, Any]] = []
        for run in self._runs + self._memory:
            if run["case"] not in found:
                found.append(run["case"])
        return found

    def variants(self, case: Record) -> list[tuple[str, str]]:
        """Return side and name of what was measured in a case."""
        every = [(r["side"], r["variant"]) for r in self._runs + self._memory if r["case"] == case]
        return list(dict.fromkeys(every))

    def runs(self, side: str, variant: str, case: Record) -> list[Record]:
        """Return timed passes; where there are none, that in a process of its own."""
        for runs in (self._runs, self._memory):
            found = [r for r in runs if (r["side"], r["variant"], r["case"]) == (side, variant, case)]
            if found:
                return found
        return []

    def seconds(self, side: str, variant: str, case: Record, clock: str = "seconds") -> Spread | None:
        """Return wall seconds, or those of another clock."""
        return Spread.of(run[clock] for run in self.runs(side, variant, case))

    def ratio(self, side: str, variant: str, case: Record, clock: str = "seconds") -> Spread | None:
        """Return the ratio to the variant's baseline, round by round."""
        return Spread.of(self.ratios(side, variant, case, clock))

    def ratios(self, side: str, variant: str, case: Record, clock: str = "seconds") -> list[float]:
        """Return the ratios to the variant's baseline, one a round; none without a baseline."""
        against = {run.get("round"): run[clock] for run in self._baseline(side, variant, case)}
        if not against:
            return []
        middle = statistics.median(against.values())
        return [run[clock] / against.get(run.get("round"), middle) for run in self.runs(side, variant, case)]

    def ratio_of_sums(self, side: str, variant: str, case: Record, clock: str = "seconds") -> float | None:
        """Return what all rounds took, over what the baseline took in the same rounds."""
        against = {run.get("round"): run[clock] for run in self._baseline(side, variant, case)}
        own = {run.get("round"): run[clock] for run in self.runs(side, variant, case)}
        both = own.keys() & against.keys()
        return sum(own[turn] for turn in both) / sum(against[turn] for turn in both) if both else None

    def baseline(self, side: str, variant: str, case: Record) -> str | None:
        """Return what a variant is compared with, or None."""
        if self.benchmark == STEPS:
            return None if variant == STOCK else STOCK
        kind = "upstream loss" if variant.startswith("upstream loss") else variant
        return next((name for name in BASELINES.get(kind, ()) if self.runs(side, name, case)), None)

    def _baseline(self, side: str, variant: str, case: Record) -> list[Record]:
        name = self.baseline(side, variant, case)
        return [] if name is None else self.runs(side, name, case)

    def peak(self, side: str, variant: str, case: Record) -> Record | None:
        """Return the pass whose peak memory was measured."""
        wanted = (side, variant, case)
        return next((r for r in self._memory if (r["side"], r["variant"], r["case"]) == wanted), None)

    def fact(self, side: str, variant: str, case: Record, key: str) -> Any:
        """Return something that a pass found out, or None."""
        return next((run[key] for run in self.runs(side, variant, case) if key in run), None)
