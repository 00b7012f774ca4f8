"""From the runs of a rung to the estimates that its claims are judged by."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataflex.engine.proportions import LEARNED
from dataflex.errors import UserError
from dataflex.evidence.claims.gauges import Gauge
from dataflex.evidence.results import CellResult, read_lines
from dataflex.evidence.statistics import hierarchical, seeds
from dataflex.evidence.statistics.clusters import FloatArray
from dataflex.evidence.statistics.estimate import Estimate
from dataflex.evidence.store.comparing import protocol_differences

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


def difference(runs: Runs, base: Runs, gauge: Gauge, domain: str | None) -> Measured | str:
    """A method's number less another's, paired by seed and, of an accuracy, by question.

    Of perplexities it is the difference of their logarithms to base 2.

    Returns:
        Or why there is none, in words: no seed in common, numbers that are missing, or runs that can't be
        paired because they were measured by another protocol or started from models of other code.
    """
    shared = sorted({run.seed for run in runs} & {run.seed for run in base})
    ones = [run for seed in shared for run in runs if run.seed == seed]
    others = [run for seed in shared for run in base if run.seed == seed]
    if not shared:
        return "the two have no seed in common"
    for one, other in zip(ones, others, strict=True):
        if protocol_differences(one, other) or one.corpus != other.corpus:
            return "the two were measured by different protocols, or on different texts"
        if one.run.get("start") and _commit(one) != _commit(other):
            return "the two started from models that different versions of the code had trained"
    if gauge == "accuracy":
        outcomes, subjects = _outcomes([*ones, *others])
        ours, theirs = outcomes[: len(ones)], outcomes[len(ones) :]
        estimate = hierarchical.difference(100 * ours, 100 * theirs, subjects)
        by_seed = 100 * (ours - theirs).mean(axis=1)
        return Measured(estimate, tuple(by_seed.tolist()), ours.shape[1], (*ones, *others))
    pairs = [
        (_number(a, gauge, domain), _number(b, gauge, domain)) for a, b in zip(ones, others, strict=True)
    ]
    found = [_less(a, b, gauge) for a, b in pairs if a is not None and b is not None]
    if len(found) < len(pairs):
        return "the results lack the number"
    return Measured(seeds.of_mean(found), tuple(found), None, (*ones, *others))


def _less(one: float, other: float, gauge: Gauge) -> float:
    return math.log2(one / other) if gauge == "perplexity" else one - other


def _outcomes(runs: Runs) -> tuple[FloatArray, list[str]]:
    """Which questions each run answered rightly, shape (runs, questions), and their subjects.

    Raises:
        UserError: they were not asked the same questions.
    """
    tables = [sorted(read_lines(run.folder / "questions.jsonl"), key=_id) for run in runs]
    for run, table in zip(runs, tables, strict=True):
        if not table or [_id(question) for question in table] != [_id(question) for question in tables[0]]:
            raise UserError(f"{run.folder} was not asked the questions of {runs[0].folder}")
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


def _commit(run: CellResult) -> Any:
    return run.run["manifest"].get("commit")


def at_chance(runs: Runs) -> bool:
    """Whether the mean accuracy lies within two standard errors of what the same letters get by luck.

    A model that prefers a letter is right as often as that letter is: its chance is the sum over letters of
    how often it chose one times how often that one was right, a quarter for letters chosen alike.
    """
    lucks, rights = [], []
    for run in runs:
        questions = read_lines(run.folder / "questions.jsonl")
        n = len(questions)
        chosen = Counter(question["choice"] for question in questions)
        golds = Counter(question["gold"] for question in questions)
        lucks.append(math.fsum(chosen[letter] * golds[letter] for letter in chosen) / n**2)
        rights.append(math.fsum(question["correct"] for question in questions) / n)
    luck = seeds.mean(lucks)
    return abs(seeds.mean(rights) - luck) <= 2 * math.sqrt(luck * (1 - luck) / n)
