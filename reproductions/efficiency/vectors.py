"""Unit vectors to search in. Needs nothing but numpy: other environments use it too."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

CENTRES = 200
FEW = 2048
Vectors = npt.NDArray[np.float32]


def make(rows: int, queries: int, dimension: int, kind: str, seed: int = 0) -> tuple[Vectors, Vectors]:
    """Return a pool and queries of length one, from the same distribution.

    Args:
        rows: of the pool.
        queries: number of queries.
        dimension: of a vector.
        kind: ``clustered``, normal noise around 200 normal centres; ``isotropic``, normal.
        seed: decides all.
    """
    random = np.random.default_rng(seed)
    centres = random.standard_normal((CENTRES, dimension), dtype=np.float32)
    both = []
    for count in (rows, queries):
        vectors = random.standard_normal((count, dimension), dtype=np.float32)
        if kind == "clustered":
            vectors += centres[random.integers(0, CENTRES, count)]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        both.append(vectors)
    return both[0], both[1]


def few(pool: Vectors, queries: Vectors, options: dict[str, Any]) -> tuple[Vectors, Vectors, dict[str, Any]]:
    """Return what TSDS runs on before it is timed: the first pass of a process is slow for other reasons."""
    return pool[:FEW], queries[:8], options | {"max_K": 50, "kde_K": 50}


def recall(found: npt.NDArray[np.int64], true: npt.NDArray[np.int64]) -> float:
    """Return the share of the true neighbours that were found; one row a query each."""
    shared = sum(len(np.intersect1d(one, other)) for one, other in zip(found, true, strict=True))
    return shared / true.size


def true_neighbours(queries: Vectors, pool: Vectors, k: int) -> npt.NDArray[np.int64]:
    """Return the ``k`` nearest rows of each query in fp64, nearest first, ties by number."""
    wide, squares = pool.astype(np.float64), (pool.astype(np.float64) ** 2).sum(1)
    order = [
        np.argsort(squares - 2 * (wide @ query), kind="stable")[:k] for query in queries.astype(np.float64)
    ]
    return np.stack(order)
