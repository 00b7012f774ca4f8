"""What was measured, read back: spreads of passes and ratios to the plain pass."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BASELINES = {
    "exact": "plain",
    "projected": "plain",
    "plain one by one": "plain",
    "upstream": "plain",
    "upstream, fp32": "plain",
    "upstream, gradients": "plain",
    "losses": "plain forward",
    "upstream loss": "plain forward",
    "library": "blocked product",
}
"""What a variant is compared with in its own process."""
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


def short(value: float) -> str:
    """Return a number with three digits."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


class Results:
    """One benchmark's file."""

    def __init__(self, path: Path) -> None:
        content = json.loads(path.read_text())
        self.name, self.benchmark, self.about = path.stem, content["benchmark"], content["about"]
        self.environments, self.failures = content["environments"], content["failures"]
        self._runs, self._memory = content["runs"], content["memory"]

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
        baseline = next((b for v, b in BASELINES.items() if variant == v), None)
        if baseline is None and variant.startswith("upstream loss"):
            baseline = BASELINES["upstream loss"]
        if baseline is None:
            return None
        against = {run.get("round"): run[clock] for run in self.runs(side, baseline, case)}
        if not against:
            return None
        middle = statistics.median(against.values())
        return Spread.of(
            run[clock] / against.get(run.get("round"), middle) for run in self.runs(side, variant, case)
        )

    def peak(self, side: str, variant: str, case: Record) -> Record | None:
        """Return the pass whose peak memory was measured."""
        wanted = (side, variant, case)
        return next((r for r in self._memory if (r["side"], r["variant"], r["case"]) == wanted), None)

    def fact(self, side: str, variant: str, case: Record, key: str) -> Any:
        """Return something that a pass found out, or None."""
        return next((run[key] for run in self.runs(side, variant, case) if key in run), None)
