"""Degrees of freedom where clusters of unequal sizes are drawn: fewer than clusters, if a few are large."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

LEVEL = 0.95
FREQUENCIES = np.geomspace(1e-7, 1e8, 350)
"""Evenly spaced in the logarithm, where the integrand is smooth and dies off at both ends."""


def freedom(sizes: npt.NDArray[np.float64], correlation: float) -> float:
    """Degrees of freedom at which the interval of ``clusters.mean_of`` covers 95 %, in a normal model.

    In the model the values of a cluster have the given correlation and all the same variance. Matching two
    moments of the variance, as is usual (Bell and McCaffrey 2002; Imbens and Kolesár 2016), gives 7 degrees
    of freedom for MMLU's subjects where they differ much, and intervals that cover 97 %: one large subject
    then makes up much of the variance, which is not spread like a chi-square, and which is large just when
    the mean is far off. Here the distribution of the statistic itself is inverted, which gives 17.

    Args:
        sizes: of the clusters, shape (clusters,).
        correlation: inside a cluster, 0 to 1.

    Returns:
        At most clusters - 1.
    """
    if (sizes == sizes[0]).all():
        return len(sizes) - 1
    # The correlation is an estimate: two digits of it are enough, and seldom new.
    return _freedom(tuple(np.sort(sizes).tolist()), float(f"{correlation:.1e}"))


@lru_cache(maxsize=4096)
def _freedom(sizes: tuple[float, ...], correlation: float) -> float:
    from scipy.optimize import brentq
    from scipy.special import stdtridf, stdtrit

    size = np.array(sizes)
    share = size / size.sum()
    variance = size * (1 - correlation) + size**2 * correlation
    scale = np.sqrt(variance / variance.sum())
    residuals = (np.eye(len(size)) - share[:, None]) * scale
    weights, axes = np.linalg.eigh(residuals.T @ (residuals / (1 - share)[:, None]))
    weights, along = np.maximum(weights, 0), (axes.T @ scale) ** 2

    def missed(quantile: float) -> float:
        return _positive(along, quantile**2 * weights) - (1 - LEVEL)

    at = 1 - (1 - LEVEL) / 2
    least = float(stdtrit(len(size) - 1, at))
    if missed(least) <= 0:
        return len(size) - 1
    most = 2 * least
    while missed(most) > 0:
        most *= 2
    return float(stdtridf(at, brentq(missed, least, most, xtol=1e-6)))


def _positive(along: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> float:
    """P(y^2 > sum of w z^2), z standard normal, y = sum of sqrt(along) z: by inversion (Imhof 1961).

    The quadratic form has the matrix aa' - diag(w), and by the determinant of a rank-one change the
    characteristic function product (1 + 2iuw)^(-1/2) x (1 - 2iu sum a^2 / (1 + 2iuw))^(-1/2).
    """
    factors = 1 + 2j * FREQUENCIES[:, None] * weights
    logarithm = np.log(factors).sum(axis=1) + np.log(1 - 2j * FREQUENCIES * (along / factors).sum(axis=1))
    step = np.log(FREQUENCIES[1] / FREQUENCIES[0])
    return 0.5 + float(np.exp(-logarithm / 2).imag.sum() * step) / np.pi
