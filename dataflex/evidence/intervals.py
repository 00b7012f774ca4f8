"""Confidence intervals over seeds and of shares, and whether picks are other than random picking gives."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dataflex.evidence.tolerance import mean, standard_deviation

LEVEL = 0.95
Interval = tuple[float, float]


def wilson(hits: int, n: int, level: float = LEVEL) -> Interval:
    """Wilson's score interval for a share of ``n`` independent picks (Wilson 1927).

    Raises:
        ValueError: no pick.
    """
    from scipy.special import ndtri  # scipy takes longer to import than all the rest

    if n < 1:
        raise ValueError("an interval needs at least one pick")
    z = float(ndtri(1 - (1 - level) / 2))
    share = hits / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def of_mean(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Student's t interval of a mean over seeds.

    Raises:
        ValueError: fewer than two seeds.
    """
    from scipy.special import stdtrit

    n = len(values)
    half = float(stdtrit(n - 1, 1 - (1 - level) / 2)) * standard_deviation(values) / math.sqrt(n)
    return mean(values) - half, mean(values) + half


def over_seeds(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Student's t interval of a mean share over seeds, cut to 0 and 1.

    Raises:
        ValueError: fewer than two seeds.
    """
    low, high = of_mean(values, level)
    return max(0.0, low), min(1.0, high)


def random_picking(hits: Sequence[int], picks: Sequence[int], target: int, pool: int) -> float:
    """Two-sided p-value of the hypothesis that some runs picked their distinct rows at random.

    Under it the hits of a run are hypergeometric (``picks`` rows without replacement out of ``pool``, of
    which ``target`` count), and the hits of independent runs add up: the distribution of their sum is the
    convolution, exact. The p-value is the probability of all sums that are no likelier than the one seen.

    Args:
        hits: distinct rows of the target in each run.
        picks: distinct rows of each run.
        target: rows of the target in the pool.
        pool: rows of the pool.
    """
    total = np.ones(1)
    for count in picks:
        total = np.convolve(total, _hypergeometric(count, target, pool))
    seen = total[sum(hits)]
    # Equal probabilities differ by rounding: R's fisher.test takes the same margin.
    return min(1.0, float(total[total <= seen * (1 + 1e-7)].sum()))


def _hypergeometric(count: int, target: int, pool: int) -> np.ndarray:
    """Probabilities of 0 to ``count`` hits, shape ``(count + 1,)``."""
    ways = [math.comb(target, k) * math.comb(pool - target, count - k) for k in range(count + 1)]
    everything = math.comb(pool, count)
    return np.array([way / everything for way in ways])


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjustment of p-values for having looked at all of them, in their order (Holm 1979)."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
