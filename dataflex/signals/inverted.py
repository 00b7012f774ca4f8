"""Approximate nearest neighbours with an inverted file: for pools that are too large for every product."""

from __future__ import annotations

import numpy as np

from dataflex.arrays import IntArray
from dataflex.errors import UserError
from dataflex.signals.products import Vectors

_TRAINING = 50
"""Rows a list that the centres are learned from."""
_ADDED = 2**18
"""Rows that are copied into the index at once."""


def search(queries: Vectors, pool: Vectors, k: int, probes: int) -> IntArray:
    """Return ``k`` near rows of each query, shape ``(M, k)``; some of the nearest may be missing.

    Raises:
        UserError: faiss is not installed, or the lists looked into hold fewer than ``k`` rows.
    """
    try:
        import faiss
    except ImportError:
        raise UserError(
            "index: approximate needs faiss: pip install 'dataflex[embeddings]', or say index: exact"
        ) from None
    lists = max(1, round(4 * np.sqrt(len(pool))))
    lists = min(lists, max(1, len(pool) // _TRAINING))
    index = faiss.IndexIVFFlat(
        faiss.IndexFlatIP(pool.shape[1]), pool.shape[1], lists, faiss.METRIC_INNER_PRODUCT
    )
    step = max(1, len(pool) // (lists * _TRAINING))
    index.train(np.ascontiguousarray(pool[::step], np.float32))
    for start in range(0, len(pool), _ADDED):
        index.add(np.ascontiguousarray(pool[start : start + _ADDED], np.float32))
    index.nprobe = min(probes, lists)
    ids = index.search(queries, k)[1] if len(queries) else np.empty((0, k), np.int64)
    # faiss fills what it did not find with -1, which numpy would read as the last row.
    short = int((ids < 0).any(axis=1).sum())
    if short:
        raise UserError(
            f"index: approximate found fewer than {k} rows for {short} validation rows: "
            f"raise probes above {probes}, or say index: exact"
        )
    return np.asarray(ids, np.int64)
