"""Two models on the same questions: what is easy or hard for both drops out of the difference."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dataflex.evidence.statistics.clusters import Clusters, FloatArray, mean_of
from dataflex.evidence.statistics.estimate import LEVEL, Estimate, Interval
from dataflex.evidence.statistics.resampling import Units, units

DRAWS, SEED = 10_000, 0


@dataclass(frozen=True)
class McNemar:
    """A test that two models answer equally many questions rightly, from those that exactly one gets right.

    Attributes:
        ours: questions that only our model got right.
        theirs: questions that only the other one got right.
        exact: two-sided binomial p-value, never too small (McNemar 1947).
        mid_p: the same with half the probability of what was seen, which is nearer to the level and seldom
            above it (Fagerland, Lydersen and Laake 2013).
    """

    ours: int
    theirs: int
    exact: float
    mid_p: float


def difference(ours: npt.ArrayLike, theirs: npt.ArrayLike, subjects: Clusters | None = None) -> Estimate:
    """Mean of ours less theirs over the questions, with the error of having drawn these (Miller 2024).

    Args:
        ours: outcome by question, shape (n,).
        theirs: of the same questions, in the same order.
        subjects: of each question; None: each question was drawn by itself.

    Raises:
        ValueError: no questions, or not the same number.
    """
    return mean_of(_less(ours, theirs), subjects)


def contested(ours: npt.ArrayLike, theirs: npt.ArrayLike) -> float:
    """Share of the questions that exactly one of the two got right; all that the difference rests on."""
    return float((_less(ours, theirs) != 0).mean())


def effective_questions(ours: npt.ArrayLike, theirs: npt.ArrayLike) -> float:
    """Questions that an unpaired comparison would need to be as sure: n (var ours + var theirs) / var(d).

    Infinite where the models differ on no question.
    """
    less = _less(ours, theirs)
    spread = float(np.var(less))
    apart = float(np.var(np.asarray(ours, dtype=float)) + np.var(np.asarray(theirs, dtype=float)))
    return less.size * apart / spread if spread > 0 else math.inf


def mcnemar(ours: npt.ArrayLike, theirs: npt.ArrayLike) -> McNemar:
    """McNemar's test of two models' right answers (0 or 1) to the same questions."""
    from scipy.special import bdtr, gammaln  # scipy takes longer to import than all the rest

    less = _less(ours, theirs)
    if not np.isin(less, (-1, 0, 1)).all():
        raise ValueError("outcomes of questions are 0 or 1")
    better, worse = int((less > 0).sum()), int((less < 0).sum())
    n, fewer = better + worse, min(better, worse)
    below = 2 * float(bdtr(fewer, n, 0.5))
    seen = math.exp(float(gammaln(n + 1) - gammaln(fewer + 1) - gammaln(n - fewer + 1)) - n * math.log(2))
    return McNemar(better, worse, min(1.0, below), min(1.0, below - seen))


def bootstrap(
    ours: npt.ArrayLike,
    theirs: npt.ArrayLike,
    subjects: Clusters | None = None,
    *,
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Interval:
    """Interval of the difference by drawing questions, or whole subjects, again: BCa (Efron 1987).

    A check of ``difference`` that assumes no distribution; the same for the same seed. Its ends are as far
    out as Student's t and n - 1 in place of n would have them (Hesterberg 2015, "expanded percentiles").
    """
    from scipy.special import ndtr, ndtri, stdtrit

    drawn = units(_less(ours, theirs)[None, :], subjects)
    rng = np.random.default_rng(seed)
    found = np.concatenate([means[:, 0] for means in drawn.means(draws, rng)])
    centre = float((drawn.sums[:, 0] * drawn.counts).sum() / (drawn.sizes * drawn.counts).sum())
    if np.ptp(found) == 0:
        return centre, centre
    # Ties count by half: outcomes are few values, so that many samples have the very mean.
    tie = np.isclose(found, centre, rtol=1e-12, atol=1e-15)
    bias = float(ndtri(((found < centre) & ~tie).mean() + tie.mean() / 2))
    skew = _acceleration(drawn)
    n = drawn.number
    ends = np.array([(1 - level) / 2, 1 - (1 - level) / 2])
    normal = math.sqrt(n / (n - 1)) * stdtrit(n - 1, ends)
    shares = ndtr(bias + (bias + normal) / (1 - skew * (bias + normal)))
    low, high = np.quantile(found, np.clip(shares, 0, 1))
    return float(low), float(high)


def _acceleration(drawn: Units) -> float:
    """Skewness of the jackknife, a sixth of it: how the error changes with the truth."""
    sums, sizes, counts = drawn.sums[:, 0], drawn.sizes, drawn.counts
    without = ((sums * counts).sum() - sums) / ((sizes * counts).sum() - sizes)
    apart = (without * counts).sum() / counts.sum() - without
    squares = float((counts * apart**2).sum())
    return float((counts * apart**3).sum()) / (6 * squares**1.5) if squares > 0 else 0.0


def _less(ours: npt.ArrayLike, theirs: npt.ArrayLike) -> FloatArray:
    one, other = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    if one.shape != other.shape or one.ndim != 1 or not one.size:
        raise ValueError(f"outcomes of the same questions are needed, not of {one.shape} and {other.shape}")
    return one - other
