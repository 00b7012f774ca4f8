"""How far may one number lie from the mean of several runs: a further run of ours, or a published one?"""

from __future__ import annotations

import math
from collections.abc import Sequence

from dataflex.evidence.statistics.estimate import Estimate
from dataflex.evidence.statistics.freedom import combined
from dataflex.evidence.statistics.seeds import mean, standard_deviation

TOLERANCE_LEVEL = 0.99
"""Of the tolerance of a reference number: a hundred of them are looked at together."""


def further_run(
    values: Sequence[float], question_errors: Sequence[float] = (), question_freedom: float = math.inf
) -> Estimate:
    """The number that one further run gives, as far as the runs at hand tell; the interval is for it.

    Error s sqrt(1 + 1/n), n - 1 degrees of freedom, for independent, normally distributed runs (Hahn and
    Meeker, "Statistical Intervals", section 4.8); infinite with one run. Whether a published number fits is
    the ``p_value`` of that number, which then stands for one further run with a seed of its own.

    Where it was measured on other questions than ours, both tests are samples of questions: their errors come
    on top, in quadrature. Where it was the same test they do not, since hard questions are hard for both.

    Args:
        values: one number a seed.
        question_errors: standard errors by question, of the published number and of ours, in the unit of the
            values; see ``questions.binomial`` and ``hierarchical.of_questions``.
        question_freedom: degrees of freedom of these errors.

    Raises:
        ValueError: no value.
    """
    n = len(values)
    if n < 2:
        if not n:
            raise ValueError("a prediction needs at least one run")
        return Estimate(values[0], math.inf, 0)
    seeds = standard_deviation(values) * math.sqrt(1 + 1 / n)
    questions = math.hypot(*question_errors)
    freedom = combined((seeds**2, n - 1), (questions**2, question_freedom))
    return Estimate(mean(values), math.hypot(seeds, questions), freedom)


def half_width(values: Sequence[float], level: float = TOLERANCE_LEVEL) -> float:
    """Half width of the two-sided prediction interval for one further run on the same questions.

    Raises:
        ValueError: fewer than two values.
    """
    if len(values) < 2:
        raise ValueError("a tolerance needs at least two runs")
    found = further_run(values)
    return found.quantile(1 - (1 - level) / 2) * found.error


def share_half_width(values: Sequence[float], n: int, level: float = TOLERANCE_LEVEL) -> float:
    """Least half width for shares of ``n`` picks each, where the runs agree more than picking allows.

    z(1 - (1 - level) / 2) x sqrt(p (1 - p) / n x (1 + 1 / runs)), with Laplace's estimate of p over all runs'
    picks, (hits + 1) / (picks + 2): six runs that were all right don't make one wrong pick a deviation.
    """
    from scipy.special import ndtri  # scipy takes longer to import than all the rest

    runs = len(values)
    share = (math.fsum(values) * n + 1) / (runs * n + 2)
    quantile = float(ndtri(1 - (1 - level) / 2))
    return quantile * math.sqrt(share * (1 - share) / n * (1 + 1 / runs))
