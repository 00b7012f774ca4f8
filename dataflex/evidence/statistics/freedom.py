"""Degrees of freedom of a sum of two independent variances, of which one may rest on very few seeds."""

from __future__ import annotations

import math

LEVEL = 0.95
Variance = tuple[float, float]
"""An estimated variance and its degrees of freedom."""


def combined(one: Variance, other: Variance) -> float:
    """Degrees of freedom at which Student's interval from the sum covers about as often as it says.

    The rule of Satterthwaite (1946) takes the estimated variances for the true ones. A variance over three
    seeds is often much too small by chance, and exactly then the rule claims many degrees of freedom: its
    95 % intervals cover 92 % at worst. Cochran (1964) instead averages the two quantiles of Student's t, with
    the variances as weights, which never covers too seldom, but up to 97 %. Here the quantiles are averaged
    too. With w the share of the part of fewer degrees of freedom, its weight is w^2 / (w^2 + 1 - w):
    Satterthwaite's square for that part, Cochran's weight for the other. ``docs/statistics.md`` gives the
    coverage that was measured.

    Returns:
        The degrees of freedom whose quantile at 95 % is the averaged one, between the two that were given.
    """
    from scipy.special import ndtri, stdtridf, stdtrit  # scipy takes longer to import than all the rest

    (few, low), (many, high) = sorted((one, other), key=lambda part: part[1])
    if few <= 0 or many <= 0 or low == high:
        return high if few <= 0 else low
    share = few / (few + many)
    weight = share**2 / (share**2 + 1 - share)
    at = 1 - (1 - LEVEL) / 2
    known = float(ndtri(at) if math.isinf(high) else stdtrit(high, at))
    quantile = weight * float(stdtrit(low, at)) + (1 - weight) * known
    return min(max(float(stdtridf(at, quantile)), low), high)
