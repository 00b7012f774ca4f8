"""From the runs of a rung to the estimates that its claims are judged by."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dataflex.engine.proportions import LEARNED
from dataflex.evidence.claims.gauges import Gauge
from dataflex.evidence.common_answers import common_answers
from dataflex.evidence.results import CellResult
from dataflex.evidence.statistics import hierarchical, seeds
from dataflex.evidence.statistics.clusters import FloatArray
from dataflex.evidence.statistics.estimate import Estimate
from dataflex.evidence.statistics.hierarchical import Questions
from dataflex.evidence.statistics.prediction import further_run
from dataflex.evidence.store.comparing import protocol_differences

Runs = Sequence[CellResult]
ROUNDING = 1e-9


@dataclass(frozen=True)
class Asked:
    """Which questions the published number rests on, as far as is known.

    Attributes:
        question_set: their fingerprint; None where they may be others than ours.
        number: of them; None where nobody states it: it is then taken to be as many as ours.
    """

    question_set: str | None = None
    number: int | None = None

    def of(self, run: CellResult) -> Questions:
        """How ours have to be taken: as these very ones, or as a sample of their kind."""
        ours = run.metrics["protocol"].get("mmlu", {}).get("questions", {}).get("test")
        return "fixed" if self.question_set is not None and self.question_set == ours else "random"


@dataclass(frozen=True)
class Measured:
    """A number of ours.

    Attributes:
        estimate: in the claim's unit.
        prediction: what one further run, or pair of runs, would give where the published one was measured.
        sides: the number of each seed by method, in the order of the runs.
        questions: that it rests on; None where it rests on none.
        runs: it was computed from.
        repeated: whether two seeds of a method left the same outcome, by question or to the last digit.
    """

    estimate: Estimate
    prediction: Estimate
    sides: tuple[tuple[float, ...], ...]
    questions: int | None
    runs: tuple[CellResult, ...]
    repeated: bool

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the runs, each once."""
        return tuple(sorted({run.seed for run in self.runs}))

    @property
    def without_spread(self) -> bool:
        """Whether a method's seeds all gave one number, or the two methods' differ by one number in all.

        Training with another seed gives another number: such runs are copies, or none was trained.
        """
        by_seed = [*self.sides]
        if len(self.sides) == 2:
            by_seed.append(tuple(one - other for one, other in zip(*self.sides, strict=True)))
        return any(map(_agree, by_seed))


def value(runs: Runs, gauge: Gauge, domain: str | None, asked: Asked) -> Measured | str:
    """A method's number, or in words why there is none.

    Seeds are the sample; of an accuracy the questions too, in their subjects, unless the published number is
    known to rest on the same ones.

    Args:
        runs: the seeds of the method.
        gauge: the kind of number.
        domain: of a perplexity or a proportion.
        asked: the questions of the published number.
    """
    if (found := unlike(runs)) is not None:
        return found
    if gauge == "accuracy":
        answers = common_answers(runs)
        if isinstance(answers, str):
            return answers
        correct, subjects = answers
        return _of_questions(correct, subjects, (correct,), runs, asked)
    numbers = _numbers(runs, gauge, domain)
    if numbers is None:
        return "the results lack the number"
    repeated = len(set(numbers)) < len(numbers)
    prediction = further_run(numbers)
    return Measured(seeds.of_mean(numbers), prediction, (tuple(numbers),), None, tuple(runs), repeated)


def difference(runs: Runs, base: Runs, gauge: Gauge, domain: str | None, asked: Asked) -> Measured | str:
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
    if (found := unlike([*runs, *base])) is not None:
        return found
    for one, other in zip(ones, others, strict=True):
        if one.run.get("start") and _commit(one) != _commit(other):
            return "the two started from models that different versions of the code had trained"
    if gauge == "accuracy":
        answers = common_answers([*ones, *others])
        if isinstance(answers, str):
            return answers
        outcomes, subjects = answers
        both = outcomes[: len(ones)], outcomes[len(ones) :]
        return _of_questions(both[0] - both[1], subjects, both, [*ones, *others], asked)
    sides = [_numbers(side, gauge, domain) for side in (ones, others)]
    if sides[0] is None or sides[1] is None:
        return "the results lack the number"
    ours, theirs = _levels(sides[0], gauge), _levels(sides[1], gauge)
    apart = [one - other for one, other in zip(ours, theirs, strict=True)]
    repeated = len(set(ours)) < len(ours) or len(set(theirs)) < len(theirs)
    return Measured(
        seeds.of_mean(apart), further_run(apart), (ours, theirs), None, (*ones, *others), repeated
    )


def unlike(runs: Runs) -> str | None:
    """What keeps runs from being evidence on one claim: another protocol or other texts; None if nothing."""
    first = runs[0]
    for run in runs[1:]:
        names = f"{first.folder.name} and {run.folder.name}"
        if protocol_differences(first, run):
            return f"{names} were measured by different protocols"
        if first.corpus != run.corpus:
            return f"{names} were trained and measured on different texts"
    return None


def _agree(values: Sequence[float]) -> bool:
    """Whether several numbers are one, but for the rounding of differences."""
    return len(values) > 1 and math.isclose(min(values), max(values), rel_tol=ROUNDING, abs_tol=ROUNDING)


def _of_questions(
    outcomes: FloatArray, subjects: list[str], sides: tuple[FloatArray, ...], runs: Runs, asked: Asked
) -> Measured:
    """In points, from outcomes or their differences, shape (seeds, questions), and those of each method."""
    points, n = 100 * outcomes, outcomes.shape[1]
    by_seed = points.mean(axis=1).tolist()
    how = asked.of(runs[0])
    if how == "fixed":
        prediction = further_run(by_seed)
    else:
        # The published questions are another draw of the same kind: theirs scatter as ours do.
        drawn = hierarchical.of_questions(points, subjects)
        errors = drawn.error, drawn.error * math.sqrt(n / (asked.number or n))
        prediction = further_run(by_seed, errors, drawn.freedom)
    by_method = tuple(tuple((100 * side.mean(axis=1)).tolist()) for side in sides)
    # Not numpy's unique rows: it makes a type of as many fields as there are questions.
    repeated = any(len({row.tobytes() for row in side}) < len(side) for side in sides)
    return Measured(hierarchical.mean(points, subjects, how), prediction, by_method, n, tuple(runs), repeated)


def _levels(numbers: Sequence[float], gauge: Gauge) -> tuple[float, ...]:
    """Numbers on the scale on which differences are taken: see ``gauges.level``."""
    return tuple(math.log2(number) if gauge == "perplexity" else number for number in numbers)


def _numbers(runs: Runs, gauge: Gauge, domain: str | None) -> list[float] | None:
    """One number a run; None where one of them lacks it."""
    found = [number for run in runs if (number := _number(run, gauge, domain)) is not None]
    return found if len(found) == len(runs) else None


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
        n = len(run.outcomes.ids)
        chosen, golds = Counter(run.outcomes.choices), Counter(run.outcomes.golds)
        lucks.append(math.fsum(chosen[letter] * golds[letter] for letter in chosen) / n**2)
        rights.append(math.fsum(run.outcomes.correct) / n)
    luck = seeds.mean(lucks)
    return abs(seeds.mean(rights) - luck) <= 2 * math.sqrt(luck * (1 - luck) / n)
