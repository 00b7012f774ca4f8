"""Simulated experiments with known truth: how often does each interval hold it?

``python -m tests.statistics.simulate`` prints the table of ``docs/statistics.md``; the tests beside this
file hold the same numbers to their limits. Every case has its own fixed seed.

Answers come from a threshold: model s is right on question q where level + seed + subject + question + rest
is above zero, all of them normal. So the true accuracy is known in closed form, over all questions and
conditional on those asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import norm

from dataflex.evidence.statistics import hierarchical, paired, prediction, questions, seeds

MMLU_SUBJECTS = [
    100, 135, 152, 100, 265, 144, 100, 100, 100, 173, 102, 100, 235, 114, 145, 378, 126, 100, 310,
    203, 100, 165, 198, 193, 390, 270, 238, 151, 545, 216, 204, 237, 223, 131, 121, 108, 163, 112,
    103, 234, 100, 783, 346, 895, 306, 311, 324, 282, 1534, 272, 612, 110, 245, 201, 100, 166, 171,
]  # fmt: skip
"""Questions of MMLU's test by subject: 14,042 in 57."""
SUBJECTS = {
    165: np.repeat(np.arange(57), [3] * 51 + [2] * 6),
    285: np.repeat(np.arange(57), 5),
    14_042: np.repeat(np.arange(57), MMLU_SUBJECTS),
}
LEVEL = 0.95
LIMIT = 0.01
"""How far a coverage may be from the level."""
EXPERIMENTS = {165: 10_000, 285: 10_000, 14_042: 4_000}
"""By the number of questions: chance is .22 % (one standard deviation), and .34 %."""
DRAWS = 1_000
"""Of a bootstrap, a tenth of what it takes by itself: this is done tens of thousands of times."""


@dataclass(frozen=True)
class Answers:
    """Standard deviations on the scale of the threshold; the rest has 1."""

    share: float = 0.27
    seed: float = 0.0
    subject: float = 0.0
    question: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", float(ndtri(self.share)) * self.total)

    level: float = 0.0

    @property
    def total(self) -> float:
        return math.sqrt(1 + self.seed**2 + self.subject**2 + self.question**2)

    @property
    def points(self) -> float:
        """Standard deviation of the seeds' accuracies, in points, to first order."""
        return float(100 * norm.pdf(self.level / self.total) * self.seed / self.total)

    def ease(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """How easy the questions are, shape (n,)."""
        subjects = rng.normal(0, self.subject, 57)[SUBJECTS[n]]
        return subjects + rng.normal(0, self.question, n)

    def given(self, ease: np.ndarray) -> float:
        """The true accuracy on these questions, over all seeds."""
        return float(ndtr((self.level + ease) / math.hypot(1, self.seed)).mean())

    def draw(self, ease: np.ndarray, trained: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Right answers, shape (seeds, n), of models whose seeds moved them by ``trained``."""
        rest = rng.standard_normal((len(trained), len(ease)), dtype=np.float32)
        return rest > -(self.level + trained[:, None] * self.seed + ease[None, :])


@dataclass(frozen=True)
class Case:
    """One interval in one design."""

    interval: str
    design: str
    held: Callable[[np.random.Generator], Iterator[bool]]
    experiments: int

    def row(self, coverage: float) -> str:
        """Its line in the table, without the experiments' chance."""
        return f"| `{self.interval}` | {self.design} | {self.experiments} | {100 * coverage:.1f} |"

    def coverage(self) -> float:
        rng = np.random.default_rng([len(self.design), *self.interval.encode(), *self.design.encode()])
        return float(
            np.mean([held for held, _ in zip(self.held(rng), range(self.experiments), strict=False)])
        )


def inside(truth: float, interval: tuple[float, float] | None) -> bool:
    assert interval is not None
    return interval[0] <= truth <= interval[1]


def of_accuracy(answers: Answers, n: int, *, clustered: bool):
    subjects = SUBJECTS[n] if clustered else None

    def held(rng: np.random.Generator) -> Iterator[bool]:
        while True:
            (right,) = answers.draw(answers.ease(n, rng), np.zeros(1), rng)
            yield inside(answers.share, questions.accuracy(right, subjects).interval())

    return held


def of_wilson(share: float, n: int):
    def held(rng: np.random.Generator) -> Iterator[bool]:
        while True:
            yield inside(share, questions.wilson(int(rng.binomial(n, share)), n))

    return held


def of_difference(ours: Answers, theirs: Answers, n: int, *, clustered: bool, bootstrap: bool = False):
    """The same questions are as easy for both; the truth is the difference of the shares."""
    subjects = SUBJECTS[n] if clustered else None

    def held(rng: np.random.Generator) -> Iterator[bool]:
        while True:
            ease = ours.ease(n, rng)
            (one,), (other,) = (model.draw(ease, np.zeros(1), rng) for model in (ours, theirs))
            if bootstrap:
                chance = int(rng.integers(2**32))
                found = paired.bootstrap(one, other, subjects, draws=DRAWS, seed=chance)
            else:
                found = paired.difference(one, other, subjects).interval()
            yield inside(ours.share - theirs.share, found)

    return held


def of_seeds(n: int):
    def held(rng: np.random.Generator) -> Iterator[bool]:
        while True:
            yield inside(0.3, seeds.of_mean(list(rng.normal(0.3, 0.01, n))).interval())

    return held


def of_hierarchy(answers: Answers, n: int, runs: int, how: hierarchical.Questions, *, clustered=False, bootstrap=False):  # fmt: skip
    subjects = SUBJECTS[n] if clustered else None

    def held(rng: np.random.Generator) -> Iterator[bool]:
        while True:
            ease = answers.ease(n, rng)
            right = answers.draw(ease, rng.normal(size=runs), rng)
            truth = answers.share if how == "random" else answers.given(ease)
            if bootstrap:
                chance = int(rng.integers(2**32))
                found = hierarchical.bootstrap(right, subjects, how, draws=DRAWS, seed=chance)
            else:
                found = hierarchical.mean(right, subjects, how)
            yield inside(truth, found.interval())

    return held


def of_paired_hierarchy(ours: Answers, theirs: Answers, n: int, runs: int, how: hierarchical.Questions):
    """Seeds move both models, half of it alike; subjects and questions are the same for both."""

    def held(rng: np.random.Generator) -> Iterator[bool]:
        while True:
            ease, shared = ours.ease(n, rng), rng.normal(size=runs)
            moved = [(shared + rng.normal(size=runs)) / math.sqrt(2) for _ in range(2)]
            one, other = (m.draw(ease, by, rng) for m, by in zip((ours, theirs), moved, strict=True))
            truth = ours.share - theirs.share if how == "random" else ours.given(ease) - theirs.given(ease)
            yield inside(truth, hierarchical.difference(one, other, SUBJECTS[n], how).interval())

    return held


def of_prediction(runs: int, question_error: float):
    """A published number with a seed of its own, and with questions of its own where they have an error."""

    def held(rng: np.random.Generator) -> Iterator[bool]:
        errors = [question_error] * 2 if question_error else []
        while True:
            test, other = rng.normal(0, question_error, 2)
            values = list(rng.normal(0.3 + test, 0.01, runs))
            yield inside(rng.normal(0.3 + other, 0.01), prediction.further_run(values, errors).interval())

    return held


def cases() -> list[Case]:
    """All that is measured, in the order of the table."""
    found = []
    for n, many in EXPERIMENTS.items():
        plain = of_accuracy(Answers(), n, clustered=False)
        found.append(Case("questions.accuracy", f"{n} questions", plain, many))
        found.append(Case("questions.wilson", f"{n} questions", of_wilson(0.27, n), 20_000))
    for n, many in EXPERIMENTS.items():
        for spread in (0.1, 0.5):
            held = of_accuracy(Answers(0.4, subject=spread), n, clustered=True)
            name = f"{n} questions in 57 subjects, whose ease has sd {spread}"
            found.append(Case("questions.accuracy, clustered", name, held, many))
    models, by_subject = (
        (Answers(0.30), Answers(0.27)),
        (Answers(0.30, subject=0.3), Answers(0.27, subject=0.3)),
    )
    for n, many in EXPERIMENTS.items():
        name = f"{n} questions, .30 beside .27"
        found.append(Case("paired.difference", name, of_difference(*models, n, clustered=False), many))
        if n < 14_042:
            held = of_difference(*models, n, clustered=False, bootstrap=True)
            found.append(Case("paired.bootstrap", name, held, many))
        held = of_difference(*by_subject, n, clustered=True)
        found.append(Case("paired.difference, clustered", name, held, many))
    for runs in (3, 6):
        found.append(Case("seeds.of_mean", f"{runs} seeds", of_seeds(runs), 20_000))
        for n, spread in ((165, 0.02), (165, 0.1), (165, 0.4), (285, 0.1), (14_042, 0.02), (14_042, 0.1)):
            found += _hierarchies(n, spread, runs)
        for n, spread in ((165, 0.1), (14_042, 0.1)):
            models = (Answers(0.30, spread, 0.3), Answers(0.27, spread, 0.3))
            name = f"{runs} seeds (sd {models[1].points:.1f} points), {n} questions in 57 subjects"
            for how in ("random", "fixed"):
                held = of_paired_hierarchy(*models, n, runs, how)
                found.append(Case(f"hierarchical.difference, {how}", name, held, EXPERIMENTS[n]))
        for error in (0.0, 0.004, 0.02):
            name = f"{runs} seeds (sd 1.0 points), question error {100 * error:.1f}"
            found.append(Case("prediction.further_run", name, of_prediction(runs, error), 10_000))
    return found


def _hierarchies(n: int, spread: float, runs: int) -> list[Case]:
    """One model of several seeds: both questions, by subject too, and the bootstrap on few questions."""
    answers, by_subject = Answers(0.27, seed=spread), Answers(0.27, seed=spread, subject=0.3)
    name = f"{runs} seeds (sd {answers.points:.1f} points), {n} questions"
    found = {
        f"hierarchical.mean, {how}": (name, of_hierarchy(answers, n, runs, how))
        for how in ("random", "fixed")
    }
    held = of_hierarchy(by_subject, n, runs, "random", clustered=True)
    found["hierarchical.mean, random, clustered"] = (name, held)
    if n == 165:
        held = of_hierarchy(answers, n, runs, "random", bootstrap=True)
        found["hierarchical.bootstrap, random"] = (name, held)
        held = of_hierarchy(by_subject, n, runs, "random", clustered=True, bootstrap=True)
        found["hierarchical.bootstrap, random, clustered"] = (name, held)
    return [Case(interval, design, held, EXPERIMENTS[n]) for interval, (design, held) in found.items()]


def main() -> None:
    print("| interval | design | experiments | coverage (%) |")
    print("|---|---|---|---|")
    for case in cases():
        print(case.row(case.coverage()), flush=True)


if __name__ == "__main__":
    main()
