"""What is drawn in a bootstrap of questions: the questions, or whole clusters of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dataflex.evidence.statistics.clusters import Clusters, FloatArray, numbered

AT_ONCE = 2_000_000
"""Counts that are held in memory at a time."""


@dataclass(frozen=True)
class Units:
    """Questions or clusters, equal ones together: outcomes of a few models are few patterns.

    Attributes:
        sums: of the values of one unit, by row of values; shape (units, rows).
        sizes: values in one unit, shape (units,).
        counts: how many units are like this one, shape (units,).
    """

    sums: FloatArray
    sizes: FloatArray
    counts: npt.NDArray[np.int64]

    @property
    def number(self) -> int:
        """How many units there are."""
        return int(self.counts.sum())

    def means(self, draws: int, rng: np.random.Generator, fewer: int = 0) -> Iterator[FloatArray]:
        """Yield the rows' means of bootstrap samples, shape (some, rows), ``draws`` in all.

        Each sample has as many units as there are, or so many ``fewer``.
        """
        drawn, chances = self.number - fewer, self.counts / self.number
        step = max(1, AT_ONCE // len(chances))
        for start in range(0, draws, step):
            times = rng.multinomial(drawn, chances, size=min(step, draws - start))
            yield (times @ self.sums) / (times @ self.sizes)[:, None]


def units(values: FloatArray, clusters: Clusters | None) -> Units:
    """The units of values of shape (rows, n)."""
    label = numbered(clusters, values.shape[1])
    sizes = np.bincount(label).astype(float)
    sums = np.stack([np.bincount(label, row) for row in values]).astype(float)
    kinds, counts = np.unique(np.vstack([sums, sizes]), axis=1, return_counts=True)
    return Units(kinds[:-1].T, kinds[-1], counts)
