"""Clusters of unit vectors by k-means: Lloyd's algorithm from k-means++ seeds (scikit-learn's).

On unit vectors squared Euclidean distance is 2 - 2 cos, so these are clusters by angle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from dataflex.arrays import FloatArray, IntArray
from dataflex.collectives import from_first_rank, world

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Clusters:
    """A partition of rows."""

    labels: IntArray
    """Cluster of each row, from 0; shape ``(N,)``. None of ``k`` is empty if there are k distinct rows."""
    centres: Vectors
    """Mean vector of each cluster, shape ``(k, D)``; not of length one."""
    inertia: float
    """Sum of the squared distances of rows to their centres."""

    def distances(self, vectors: Vectors) -> FloatArray:
        """Return the distance of each of the clustered rows to its centre, shape ``(N,)``."""
        blocks = (slice(start, start + 4096) for start in range(0, len(vectors), 4096))
        return np.concatenate(
            [np.linalg.norm(vectors[b] - self.centres[self.labels[b]], axis=1) for b in blocks]
        ).astype(np.float64)


def kmeans(
    vectors: Vectors,
    k: int,
    rng: np.random.Generator,
    *,
    initial: Vectors | None = None,
    max_iterations: int = 100,
    tolerance: float = 1e-4,
) -> Clusters:
    """Cluster rows; decided by the first rank, equal on all.

    Distances are held for a few hundred rows at a time, never for all; a cluster that runs empty takes the
    row that is farthest from its centre.

    Args:
        vectors: unit vectors, shape ``(N, D)``.
        k: clusters; at most N.
        rng: draws the seeds of k-means++.
        initial: centres to start from instead, shape ``(k, D)``.
        max_iterations: at the most.
        tolerance: stops when the centres move less, relative to the variance of a coordinate.
    """
    from sklearn.cluster import KMeans

    k = min(k, len(vectors))
    state = int(rng.integers(2**31))
    labels, centres = torch.zeros(len(vectors), dtype=torch.int64), torch.zeros(k, vectors.shape[1])
    inertia = torch.zeros(1, dtype=torch.float64)
    if world()[0] == 0:
        fitted = KMeans(
            k,
            init="k-means++" if initial is None else initial,
            n_init=1,
            max_iter=max_iterations,
            tol=tolerance,
            random_state=state,
            algorithm="lloyd",
        ).fit(np.asarray(vectors))
        labels = torch.from_numpy(fitted.labels_.astype(np.int64))
        centres = torch.from_numpy(fitted.cluster_centers_.astype(np.float32))
        inertia[0] = float(fitted.inertia_)
    return Clusters(
        from_first_rank(labels).numpy(), from_first_rank(centres).numpy(), float(from_first_rank(inertia))
    )
