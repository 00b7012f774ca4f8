"""Degrees of freedom of a sum of two independent variances, of which one may rest on very few seeds."""

from __future__ import annotations

import math

AT = 1 - (1 - 0.95) / 2
SURELY_KNOWN = 1e-6
"""A share of the variance below which its degrees of freedom make no difference."""
Variance = tuple[float, float]
"""An estimated variance and its degrees of freedom."""


def combined(one: Variance, other: Variance) -> float:
    """Degrees of freedom at which Student's interval from the sum covers about as often as it says.

    The rule of Satterthwaite (1946) takes the estimated variances for the true ones. A variance over three
    seeds is often much too small by chance, and exactly then the rule claims many degrees of freedom: its
    95 % intervals cover 92 % at worst. Cochran (1964) instead averages the two quantiles of Student's t, with
    the variances as weights, which never covers too seldom, but up to 97 %. Here the quantiles are averaged
    too. With w the share of the part of fewer degrees of freedom,

    - its weight is w^4 / (w^4 + b (1 - w)), b = .7 (1 - .77/freedom)^3, one degree at least: next to nothing
      until w is considerable, as in Welch's (1947) exact solution where that is smooth;
    - the other part's degrees of freedom are divided by (1 - w)^2: Satterthwaite's, were the first known.

    Of parts of the same degrees of freedom each is taken for the first once, and the mean. Form and constants
    make the coverage of normal variables, an integral over both variances, come near to 95 % for 1 to 20
    degrees of freedom beside 20 and more. ``docs/statistics.md`` says how near, and what of other levels.

    Returns:
        The degrees of freedom whose quantile at 95 % is the averaged one, not below the fewer of the two that
        were given; of a part without variance nothing counts; none where another part has none.
    """
    from scipy.special import stdtridf  # scipy takes longer to import than all the rest

    first, second = sorted((one, other), key=lambda part: part[1])
    (few, low), (many, high) = first, second
    if few <= 0 or many <= 0:
        return high if few <= 0 else low
    if low == 0 or math.isinf(low):
        return low
    quantile = _averaged(first, second)
    if low == high:
        quantile = (quantile + _averaged(second, first)) / 2
    return max(float(stdtridf(AT, quantile)), low)


def _averaged(first: Variance, second: Variance) -> float:
    from scipy.special import ndtri, stdtrit

    (few, low), (many, high) = first, second
    share, rest = few / (few + many), many / (few + many)
    normal = math.isinf(high) or rest < SURELY_KNOWN
    known = float(ndtri(AT) if normal else stdtrit(high / rest**2, AT))
    held_back = 0.7 * (1 - 0.77 / max(low, 1)) ** 3 * rest
    weight = share**4 / (share**4 + held_back)
    return weight * float(stdtrit(low, AT)) + (1 - weight) * known
