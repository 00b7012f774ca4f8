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
    too. With w the share of the part of fewer degrees of freedom,

    - its weight is w^4 / (w^4 + b (1 - w)), b = .7 (1 - .77/freedom)^3: next to nothing until w is
      considerable, as in Welch's (1947) exact solution where that is smooth;
    - the other part's degrees of freedom are divided by (1 - w)^2: Satterthwaite's, were the first known.

    Form and constants make the coverage of normal variables, an integral over both variances, come near to
    95 % for 1 to 20 degrees of freedom beside 10 and more. ``docs/statistics.md`` says how near.

    Returns:
        The degrees of freedom whose quantile at 95 % is the averaged one, not below the fewer of the two that
        were given; none where one part has none.
    """
    from scipy.special import ndtri, stdtridf, stdtrit  # scipy takes longer to import than all the rest

    (few, low), (many, high) = sorted((one, other), key=lambda part: part[1])
    if few <= 0:
        return high
    share = few / (few + many)
    if share == 1 or low in (0, high):
        return low
    at = 1 - (1 - LEVEL) / 2
    known = float(ndtri(at) if math.isinf(high) else stdtrit(high / (1 - share) ** 2, at))
    held_back = 0.7 * max(0.0, 1 - 0.77 / low) ** 3 * (1 - share)
    weight = share**4 / (share**4 + held_back)
    quantile = weight * float(stdtrit(low, at)) + (1 - weight) * known
    return max(float(stdtridf(at, quantile)), low)
