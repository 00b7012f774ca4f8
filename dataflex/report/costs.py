"""What the results took: seconds and tokens by experiment and method, and on what hardware."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataflex.evidence.results import CellResult, read_curve
from dataflex.report.rungs import Rung
from paper_figures.layout import EXPERIMENTS, METHODS, label, ordered


@dataclass(frozen=True)
class Cost:
    """A line of the table.

    Attributes:
        name: a method, or an experiment of which the lines below are methods.
        runs: how many.
        timed: of how many the seconds are known; a run that was killed once does not know them.
        wall: their sum in seconds, None where none is known.
        tokens: of all runs; None where nobody counted, or where runs count different things.
        inputs: whether they are input tokens, not those that are learned from.
        pace: tokens a second of the runs whose seconds and tokens are known.
    """

    name: str
    runs: int
    timed: int
    wall: float | None
    tokens: int | None
    inputs: bool
    pace: float | None

    @property
    def mean(self) -> float | None:
        """Seconds a run."""
        return None if self.wall is None else self.wall / self.timed


def costs(rung: Rung) -> list[tuple[Cost, list[Cost]]]:
    """Every experiment with its methods."""
    groups: dict[str, dict[str, list[CellResult]]] = defaultdict(lambda: defaultdict(list))
    for result in rung.results:
        experiment, method, _, _ = result.key
        groups[experiment][method].append(result)
    return [
        (
            _cost(experiment, [run for runs in groups[experiment].values() for run in runs]),
            [
                _cost(label(method), groups[experiment][method])
                for method in ordered(groups[experiment], METHODS)
            ],
        )
        for experiment in ordered(groups, EXPERIMENTS)
    ]


def total(rung: Rung) -> Cost:
    """All runs of a rung."""
    return _cost("all", rung.results)


def _cost(name: str, runs: Sequence[CellResult]) -> Cost:
    walls = [_manifest(run).get("wall_seconds") for run in runs]
    tokens = [_tokens(run) for run in runs]
    timed = [float(wall) for wall in walls if wall is not None]
    # LLaMA-Factory alone counts what goes into the model, a dynamic run what it learns from.
    kinds = {_manifest(run).get("train_type") == "static" for run in runs}
    if len(kinds) > 1:
        tokens = [None] * len(runs)
    both = [(w, t) for w, t in zip(walls, tokens, strict=True) if w and t is not None]
    return Cost(
        name,
        len(runs),
        len(timed),
        sum(timed) if timed else None,
        None if None in tokens else sum(value for value in tokens if value is not None),
        kinds == {True},
        sum(t for _, t in both) / sum(float(w) for w, _ in both) if both else None,
    )


def _manifest(run: CellResult) -> Mapping[str, Any]:
    found: Mapping[str, Any] = run.run.get("manifest", {})
    return found


def _tokens(run: CellResult) -> int | None:
    curve = read_curve(run.folder / "curve.csv")
    return curve[-1][1] if curve else None


def hardware(rungs: Sequence[Rung]) -> list[tuple[str, int]]:
    """What the runs computed on, in words, with the number of runs; most runs first."""
    found = Counter(_words(_manifest(run).get("hardware")) for rung in rungs for run in rung.results)
    return sorted(found.items(), key=lambda entry: (-entry[1], entry[0]))


def _words(told: Mapping[str, Any] | None) -> str:
    if not told:
        return "not recorded"
    gpus = Counter(map(str, told.get("gpus") or []))
    parts = [f"{number} {name}" for name, number in sorted(gpus.items())] or ["no GPU"]
    processes = told.get("world_size", 1)
    processor = f"{told.get('processor', 'unknown processor')}, {told.get('cores')} cores"
    return f"{processor}, {', '.join(parts)}, {processes} process{'es' * (processes != 1)} a run"
