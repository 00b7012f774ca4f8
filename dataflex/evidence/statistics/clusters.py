"""The mean of values that come in clusters, as questions come in subjects."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dataflex.evidence.statistics.estimate import Estimate
from dataflex.evidence.statistics.unequal import freedom

FloatArray = npt.NDArray[np.float64]
Clusters = Sequence[str] | Sequence[int] | npt.NDArray[np.int64]
"""The cluster of each value."""


def numbered(clusters: Clusters | None, n: int) -> npt.NDArray[np.int64]:
    """The clusters as 0, 1, 2, ...; without any, each of the ``n`` values is its own.

    Raises:
        ValueError: not one cluster for each value.
    """
    if clusters is None:
        return np.arange(n)
    if len(clusters) != n:
        raise ValueError(f"{len(clusters)} clusters were given for {n} values")
    return np.unique(np.asarray(clusters), return_inverse=True)[1].astype(np.int64)


def mean_of(values: npt.ArrayLike, clusters: Clusters | None = None) -> Estimate:
    """The mean with the error that follows if whole clusters were drawn at random.

    The error is cluster-robust: it sums the squares of the clusters' sums of residuals, each divided by
    1 - its share of the values (CR2; Bell and McCaffrey 2002), so that values that are independent after all
    give an unbiased variance. The degrees of freedom are those of ``unequal.freedom``, with the correlation
    inside the clusters that the data show: 57 - 1 for equal clusters, about 17 for MMLU's subjects.

    Args:
        values: shape (n,).
        clusters: of each value; None: each value is drawn by itself.

    Returns:
        Infinite error where there are fewer than two clusters.

    Raises:
        ValueError: no values, or not one cluster for each.
    """
    found = np.asarray(values, dtype=float)
    n = found.size
    if found.ndim != 1 or not n:
        raise ValueError("a mean needs a row of values")
    mean = float(found.mean())
    label = numbered(clusters, n)
    sizes = np.bincount(label).astype(float)
    if len(sizes) < 2:
        return Estimate(mean, math.inf, 0)
    if len(sizes) == n:
        return Estimate(mean, math.sqrt(float(found.var(ddof=1)) / n), n - 1)
    sums = np.bincount(label, found - mean).astype(float)
    variance = float(weighted_squares(sums, sizes)) / n**2
    return Estimate(mean, math.sqrt(variance), freedom(sizes, _correlation(found, label, sizes)))


def weighted_squares(sums: FloatArray, sizes: FloatArray) -> FloatArray:
    """Sum of the squared sums of residuals over clusters (last axis), each over 1 - its share of values."""
    return np.asarray((sums**2 / (1 - sizes / sizes.sum())).sum(axis=-1))


def _correlation(values: FloatArray, label: npt.NDArray[np.int64], sizes: FloatArray) -> float:
    """Correlation inside clusters, 0 to 1, from the mean squares of the analysis of variance."""
    n, many = sizes.sum(), len(sizes)
    means = np.bincount(label, values) / sizes
    within = float(((values - means[label]) ** 2).sum()) / (n - many)
    between = float((sizes * (means - values.mean()) ** 2).sum()) / (many - 1)
    apart = max(0.0, (between - within) / ((n - (sizes**2).sum() / n) / (many - 1)))
    return apart / (apart + within) if apart > 0 else 0.0
