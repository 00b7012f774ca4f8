"""From the runs of a rung to the estimates that its claims are judged by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataflex.engine.proportions import LEARNED
from dataflex.evidence.claims.gauges import Gauge
from dataflex.evidence.results import CellResult, read_lines
from dataflex.evidence.statistics import hierarchical, seeds
from dataflex.evidence.statistics.clusters import FloatArray
from dataflex.evidence.statistics.estimate import Estimate

Runs = Sequence[CellResult]


@dataclass(frozen=True)
class Measured:
    """A number of ours.

    Attributes:
        estimate: in the claim's unit.
        by_seed: the number of each seed, in the same unit.
        questions: that it rests on; None where it rests on none.
        runs: it was computed from.
    """

    estimate: Estimate
    by_seed: tuple[float, ...]
    questions: int | None
    runs: tuple[CellResult, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the runs, each once."""
        return tuple(sorted({run.seed for run in self.runs}))


def value(runs: Runs, gauge: Gauge, domain: str | None) -> Measured | None:
    """A method's number; None where its runs do not have it.

    Seeds are the sample, of an accuracy the questions too, in their subjects: another test of the kind would
    have asked others.

    Args:
        runs: the seeds of the method.
        gauge: the kind of number.
        domain: of a perplexity or a proportion.
    """
    if gauge == "accuracy":
        correct, subjects = _outcomes(runs)
        by_seed = 100 * correct.mean(axis=1)
        estimate = hierarchical.mean(100 * correct, subjects)
        return Measured(estimate, tuple(by_seed.tolist()), correct.shape[1], tuple(runs))
    numbers = [_number(run, gauge, domain) for run in runs]
    found = [number for number in numbers if number is not None]
    if len(found) < len(numbers):
        return None
    return Measured(seeds.of_mean(found), tuple(found), None, tuple(runs))


def difference(runs: Runs, base: Runs, gauge: Gauge, domain: str | None) -> Measured | None:
    """A method's number less another's, paired by seed and, of an accuracy, by question.

    Of perplexities it is the difference of their logarithms to base 2. None without a seed in common, or
    where a run lacks the number.
    """
    shared = sorted({run.seed for run in runs} & {run.seed for run in base})
    ones = [run for seed in shared for run in runs if run.seed == seed]
    others = [run for seed in shared for run in base if run.seed == seed]
    if not shared:
        return None
    if gauge == "accuracy":
        ours, subjects = _outcomes(ones)
        theirs, _ = _outcomes(others)
        estimate = hierarchical.difference(100 * ours, 100 * theirs, subjects)
        by_seed = 100 * (ours - theirs).mean(axis=1)
        return Measured(estimate, tuple(by_seed.tolist()), ours.shape[1], (*ones, *others))
    pairs = [
        (_number(a, gauge, domain), _number(b, gauge, domain)) for a, b in zip(ones, others, strict=True)
    ]
    found = [_less(a, b, gauge) for a, b in pairs if a is not None and b is not None]
    if len(found) < len(pairs):
        return None
    return Measured(seeds.of_mean(found), tuple(found), None, (*ones, *others))


def _less(one: float, other: float, gauge: Gauge) -> float:
    return math.log2(one / other) if gauge == "perplexity" else one - other


def _outcomes(runs: Runs) -> tuple[FloatArray, list[str]]:
    """Which questions each seed answered rightly, shape (seeds, questions), and their subjects."""
    tables = [sorted(read_lines(run.folder / "questions.jsonl"), key=_id) for run in runs]
    correct = np.array([[float(question["correct"]) for question in table] for table in tables])
    return correct, [str(question["subject"]) for question in tables[0]]


def _id(question: dict[str, Any]) -> str:
    return str(question["id"])


def _number(run: CellResult, gauge: Gauge, domain: str | None) -> float | None:
    if gauge == "perplexity":
        parts = run.metrics["perplexity"].get(domain)
        return float(parts["token"]) if parts else None
    if gauge == "proportion":
        learned = run.run["manifest"].get(LEARNED) or {}
        return 100 * float(learned[domain]) if domain in learned else None
    return None


def at_chance(runs: Runs) -> bool:
    """Whether the mean accuracy lies within two standard errors of one guesser's."""
    questions = read_lines(runs[0].folder / "questions.jsonl")
    chances = [1 / len(question["logliks"]) for question in questions]
    chance = seeds.mean(chances)
    error = math.sqrt(math.fsum(p * (1 - p) for p in chances)) / len(chances)
    accuracy = seeds.mean([float(run.metrics["mmlu"]["acc"]) for run in runs])
    return abs(accuracy - chance) <= 2 * error
