"""How far an accuracy may lie from the truth because the questions are a sample."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from dataflex.evidence.statistics.clusters import Clusters, mean_of
from dataflex.evidence.statistics.estimate import LEVEL, Estimate, Interval


def accuracy(correct: npt.ArrayLike, subjects: Clusters | None = None) -> Estimate:
    """The share of right answers of one model, with the error of having drawn these questions.

    Without subjects each question was drawn by itself; with them whole subjects were drawn, and questions of
    one subject may be alike (Miller 2024, arXiv 2411.00640; see ``clusters.mean_of``). Nothing is said of
    what training with another seed would have given.

    Args:
        correct: 0 or 1 by question, shape (n,).
        subjects: of each question.

    Raises:
        ValueError: no question, something other than 0 and 1, or not one subject for each.
    """
    found = np.asarray(correct, dtype=float)
    if not np.isin(found, (0, 1)).all():
        raise ValueError("outcomes of questions are 0 or 1")
    return mean_of(found, subjects)


def binomial(share: float, n: int) -> Estimate:
    """The accuracy on ``n`` questions of which nothing else is known, as of a published number.

    Error sqrt(share (1 - share) / n), and the normal distribution.

    Raises:
        ValueError: no question, or no share.
    """
    if n < 1 or not 0 <= share <= 1:
        raise ValueError(f"{share} is not a share of {n} questions")
    return Estimate(share, math.sqrt(share * (1 - share) / n))


def wilson(hits: int, n: int, level: float = LEVEL) -> Interval:
    """Wilson's score interval for a share of ``n`` independent draws (Wilson 1927).

    The one to show for few draws or a share near 0 or 1, where a standard error says little.

    Raises:
        ValueError: no draw.
    """
    from scipy.special import ndtri  # scipy takes longer to import than all the rest

    if n < 1:
        raise ValueError("an interval needs at least one draw")
    z = float(ndtri(1 - (1 - level) / 2))
    share = hits / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
