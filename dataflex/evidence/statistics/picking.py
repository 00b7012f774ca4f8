"""Are picks from a pool other than random picking gives?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


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


def _hypergeometric(count: int, target: int, pool: int) -> npt.NDArray[np.float64]:
    """Probabilities of 0 to ``count`` hits, shape ``(count + 1,)``."""
    ways = [math.comb(target, k) * math.comb(pool - target, count - k) for k in range(count + 1)]
    everything = math.comb(pool, count)
    return np.array([way / everything for way in ways])
