"""The smallest effect that a comparison could detect: accuracy on the same questions, and means over seeds.

Questions. Two models answer the same ``n`` questions, and on a share ``q`` of them exactly one is right. The
difference of their accuracies then has the variance q/n (McNemar 1947; Miller 2024, arXiv 2411.00640; the
square of the difference itself, which is small, is left out). A two-sided test at level a sees an effect d
with probability 1 - b if

    d >= (z(1 - a/2) + z(1 - b)) sqrt(q/n).

With S seeds for each method the mean difference has the variance q/n if the disagreements fall on the same
questions with every seed, and q/(nS) if they fall on other ones each time; the truth lies between.

Seeds. Training again with another seed gives another model, which the formula above knows nothing of. With
one seed that variance is not covered at all. With S pairs of seeds it is, by the paired t test, whose
smallest detectable effect is given in standard deviations of the difference over seeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dataflex.evidence.statistics.estimate import Estimate

DISAGREEMENT = (0.05, 0.375)
"""Range of q: nearly the same model, and two that guess independently among four options."""


@dataclass(frozen=True)
class Detectable:
    """Smallest detectable differences of accuracy, as shares."""

    least: float
    """At the low end of q, disagreements on other questions with every seed."""
    most: float
    """At the high end of q, on the same questions."""


def standard_error(disagreement: float, questions: float) -> float:
    """Return the standard error of a paired difference of accuracies, as a share."""
    return math.sqrt(disagreement / questions)


def detectable(disagreement: float, questions: float) -> float:
    """Return the smallest difference that is seen with probability .8, as a share."""
    found = Estimate(0.0, standard_error(disagreement, questions)).detectable()
    assert found is not None  # the error is finite
    return found


def detectable_range(questions: int, seeds: int) -> Detectable:
    """Return the range over ``DISAGREEMENT`` and over where disagreements fall."""
    low, high = DISAGREEMENT
    return Detectable(detectable(low, questions * seeds), detectable(high, questions))


def disagreement_that_hides(effect: float, questions: int) -> float:
    """Return the q at which ``effect`` (a share) is just detectable with one seed."""
    one = detectable(1.0, questions)
    return (effect / one) ** 2


def detectable_over_seeds(seeds: int) -> float | None:
    """Return the smallest mean difference that a paired t test over seeds detects, in standard deviations.

    None with one seed: nothing is known then of what another seed would give.
    """
    return Estimate(0.0, 1 / math.sqrt(seeds), seeds - 1).detectable()


def verdict(effect: float, questions: int, seeds: int) -> str:
    """Tell whether the questions could show an effect (a share): could see it, could not, or it depends."""
    found = detectable_range(questions, seeds)
    if abs(effect) >= found.most:
        return "could see it"
    if abs(effect) < found.least:
        return "could not"
    return "depends"
