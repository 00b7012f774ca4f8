"""How far may one new run lie from the mean of earlier ones? A prediction interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

LEVEL = 0.99


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean."""
    return math.fsum(values) / len(values)


def standard_deviation(values: Sequence[float]) -> float:
    """Sample standard deviation, with n - 1.

    Raises:
        ValueError: fewer than two values.
    """
    if len(values) < 2:
        raise ValueError("a standard deviation needs at least two runs")
    centre = mean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))


def half_width(values: Sequence[float], level: float = LEVEL) -> float:
    """Half width of the two-sided prediction interval for one further run.

    t(1 - (1 - level) / 2, n - 1) x s x sqrt(1 + 1 / n), for independent, normally distributed runs
    (for example Hahn and Meeker, "Statistical Intervals", section 4.8).

    Raises:
        ValueError: fewer than two values.
    """
    from scipy.special import stdtrit  # scipy takes longer to import than all the rest of a check

    n = len(values)
    quantile = float(stdtrit(n - 1, 1 - (1 - level) / 2)) if n > 1 else math.nan
    return quantile * standard_deviation(values) * math.sqrt(1 + 1 / n)


def share_half_width(values: Sequence[float], n: int, level: float = LEVEL) -> float:
    """Least half width for shares of ``n`` picks each, where the runs agree more than picking allows.

    z(1 - (1 - level) / 2) x sqrt(p (1 - p) / n x (1 + 1 / runs)), with Laplace's estimate of p over all runs'
    picks, (hits + 1) / (picks + 2): six runs that were all right don't make one wrong pick a deviation.
    """
    from scipy.special import ndtri

    runs = len(values)
    share = (math.fsum(values) * n + 1) / (runs * n + 2)
    quantile = float(ndtri(1 - (1 - level) / 2))
    return quantile * math.sqrt(share * (1 - share) / n * (1 + 1 / runs))
