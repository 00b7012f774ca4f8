"""Nearest neighbours of unit vectors: exact, by blocked matrix products with a running top k.

Every query meets every row, so no neighbour is ever missed. What is certain, whatever the device, the number
of threads and of ranks:

- The set is that of the k smallest true distances, ties by row number: rows that the rounding of an fp32
  product can't tell from the k-th are measured in fp64.
- Equal rows have equal distances and come by row number.
- Other rows are in the order of their fp32 products, so rows that are nearer to each other than its rounding
  may be swapped. Distances of very near rows, where 2 - 2 cos cancels, come from the differences in fp64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from dataflex.arrays import FloatArray, IntArray
from dataflex.collectives import sum_over_ranks, world
from dataflex.signals.products import Vectors, block, full_precision, gather, product_device, rounding

Index = Literal["exact", "approximate"]

_QUERIES = 2048
"""Queries that meet a block of the pool at once."""
_SCORES = 2**23
"""Products that are held at once (32 MiB: they are read again, so they should stay in the cache)."""
_LANES = 256
"""Maxima of columns that bound the k-th product of a first block, unless ``k`` asks for more."""
_NEAR = 0.95
"""From this cosine on 2 - 2 cos has lost so many digits that the distance is computed from the difference."""
_PAIRS = 2**11
"""Pairs whose differences are held at once."""
_NUMBERS = 2**32 - 1
"""The part of a key that is a row number."""
_NONE = 2**63 - 1
"""A key behind all keys of rows."""


@dataclass(frozen=True)
class Neighbours:
    """The nearest rows of each query, nearest first; equal rows by number."""

    ids: IntArray
    """Shape ``(M, K)``."""
    distances: FloatArray
    """Euclidean distances, between 0 and 2; shape ``(M, K)``."""


def nearest(
    queries: Vectors,
    pool: Vectors,
    k: int,
    *,
    index: Index = "exact",
    probes: int = 64,
    device: torch.device | None = None,
) -> Neighbours:
    """Return the ``k`` nearest rows of the pool for every query, equal on all ranks.

    Memory is O(M k), the ties with each k-th row, and one block: the pool may be a memory map.

    Args:
        queries: unit vectors, shape ``(M, D)``.
        pool: unit vectors, shape ``(N, D)``.
        k: neighbours of each query; at most N are returned.
        index: ``approximate`` searches an inverted file instead (see ``signals.inverted``).
        probes: lists of the inverted file that a query looks into.
        device: where the products are made; none takes this process's own.

    Raises:
        UserError: ``approximate`` without faiss, or with too few probes to find ``k`` rows.
    """
    k, device = min(k, len(pool)), device or product_device()
    rank, size = world()
    mine = np.array_split(np.arange(len(queries)), size)[rank]
    share = np.ascontiguousarray(queries[mine], np.float32)
    if index == "approximate":
        from dataflex.signals.inverted import search

        ids = search(share, pool, k, probes)
        ids, distances = _measure(share, pool, ids, np.zeros(ids.shape), np.ones(ids.shape, bool))
    elif not len(share):
        # Fewer queries than ranks: this one has nothing to compute, but comes to the sum below all the same.
        ids, distances = np.empty((0, k), np.int64), np.empty((0, k))
    else:
        with full_precision():
            ids, distances = _exact(share, pool, k, device)
    if size == 1:
        return Neighbours(ids, distances)
    found = torch.zeros(2, len(queries), k, dtype=torch.float64)
    # Row numbers are exact in fp64.
    found[:, mine] = torch.from_numpy(np.stack([ids.astype(np.float64), distances]))
    every = sum_over_ranks(found).numpy()
    return Neighbours(every[0].astype(np.int64), every[1])


def _exact(queries: Vectors, pool: Vectors, k: int, device: torch.device) -> tuple[IntArray, FloatArray]:
    width = max(_SCORES // max(min(_QUERIES, len(queries)), 1), 4 * k, 1024)
    slack = 2 * rounding(queries.shape[1])
    parts = torch.from_numpy(queries).to(device).split(_QUERIES)
    best: list[torch.Tensor | None] = [None] * len(parts)
    first: list[Vectors] = [np.empty(0, np.float32)]
    for start in range(0, len(pool), width):
        rows = block(pool, start, start + width, device)
        first.append(rows[:, 0].cpu().numpy())
        for place, part in enumerate(parts):
            best[place] = _merge(best[place], part @ rows.T, start, k, slack)
    repeated = _repeated(np.concatenate(first))
    ids, distances = np.empty((len(queries), k), np.int64), np.empty((len(queries), k))
    for place, keys in enumerate(best):
        if keys is not None:
            mine = slice(place * _QUERIES, (place + 1) * _QUERIES)
            ids[mine], distances[mine] = _settle(queries[mine], pool, keys, k, slack, repeated)
    return ids, distances


def _merge(held: torch.Tensor | None, scores: torch.Tensor, start: int, k: int, slack: float) -> torch.Tensor:
    """Return keys of the rows that may be among the ``k`` nearest so far, rising; ``(M, k or more)``."""
    groups = scores.shape[1] // max(2 * k, _LANES)
    if held is not None:
        keys = torch.cat([held, _above(scores, _rows_of(held[:, k - 1])[1] - slack, start)], 1)
    elif groups > 1:
        # Each is the product of a row of its own, so the k-th of these maxima is not above the k-th of all.
        lanes = scores.shape[1] // groups
        most = scores[:, : lanes * groups].unflatten(1, (groups, lanes)).amax(1)
        if most.device.type == "cpu":
            floor = torch.from_numpy(np.partition(most.numpy(), lanes - k)[:, lanes - k])
        else:
            floor = most.topk(k, sorted=False).values.amin(1)
        keys = _above(scores, floor - slack, start)
    else:
        keys = _keys(torch.arange(start, start + scores.shape[1], device=scores.device), scores)
    # numpy sorts numbers several times faster, for it need not keep their places.
    keys = torch.from_numpy(np.sort(keys.numpy())) if keys.device.type == "cpu" else keys.sort().values
    ids, least = _rows_of(keys[:, k - 1 : k])
    return keys[:, : int((keys <= _keys(ids | _NUMBERS, least - slack)).sum(1).max())]


def _above(scores: torch.Tensor, floor: torch.Tensor, start: int) -> torch.Tensor:
    """Return keys of the products that are at least their query's floor, left-aligned."""
    mask = (scores >= floor[:, None]).flatten()
    hits = (
        torch.from_numpy(np.flatnonzero(mask.numpy())) if mask.device.type == "cpu" else mask.nonzero()[:, 0]
    )
    width = scores.shape[1]
    starts = torch.arange(len(scores) + 1, device=hits.device) * width
    counts = torch.searchsorted(hits, starts).diff()
    ids = hits - starts[:-1].repeat_interleave(counts) + start
    filled = torch.arange(int(counts.max()), device=hits.device) < counts[:, None]
    keys = torch.full(filled.shape, _NONE, device=hits.device)
    return keys.masked_scatter_(filled, _keys(ids, scores.flatten()[hits]))


def _keys(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Return integers in the order of falling products, then of row numbers."""
    bits = scores.contiguous().view(torch.int32).long()
    return ~(bits ^ (bits >> 32 & 2**31 - 1)) << 32 | ids


def _rows_of(keys: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return row numbers and products; a product of ``_NONE`` is not a number."""
    bits = ~(keys >> 32)
    return keys & _NUMBERS, (bits ^ (bits >> 32 & 2**31 - 1)).int().view(torch.float32)


def _repeated(values: Vectors) -> Vectors:
    """Return the values with those that occur once replaced by NaN."""
    ranked = np.sort(values)
    twice = ranked[1:][ranked[1:] == ranked[:-1]]
    return np.where(np.isin(values, twice), values, np.float32(np.nan))


def _settle(
    queries: Vectors, pool: Vectors, keys: torch.Tensor, k: int, slack: float, repeated: Vectors
) -> tuple[IntArray, FloatArray]:
    """Return ids and distances of the first ``k``, after measuring what the products leave open."""
    ids, scores = (part.numpy() for part in _rows_of(keys.cpu()))
    unsure = scores > _NEAR
    last = scores[:, k - 1 : k]
    # Where a row outside can't be told from the k-th, all that can't be told from it are measured.
    unsure |= (scores[:, k : k + 1] >= last - slack).any(1, keepdims=True) & (abs(scores - last) <= slack)
    # Products of equal rows may differ, by no more than the slack.
    marks = repeated.take(ids, mode="clip")
    rows, columns = np.divmod(np.flatnonzero(marks == marks), marks.shape[1])
    order = np.lexsort((marks[rows, columns], rows))
    rows, columns = rows[order], columns[order]
    equal = (np.diff(rows) == 0) & (np.diff(marks[rows, columns]) == 0)
    equal = np.flatnonzero(equal & (-np.diff(scores[rows, columns]) <= slack))
    for place in (equal, equal + 1):
        unsure[rows[place], columns[place]] = True
    distances = np.sqrt(np.maximum(2 - 2 * scores.astype(np.float64), 0))
    ids, distances = _measure(queries, pool, ids, distances, unsure)
    return ids[:, :k], distances[:, :k]


def _measure(
    queries: Vectors, pool: Vectors, ids: IntArray, distances: FloatArray, unsure: npt.NDArray[np.bool_]
) -> tuple[IntArray, FloatArray]:
    """Return ids and distances in order, with true distances where ``unsure``."""
    rows, columns = np.divmod(np.flatnonzero(unsure), max(unsure.shape[1], 1))
    for start in range(0, len(rows), _PAIRS):
        row, column = rows[start : start + _PAIRS], columns[start : start + _PAIRS]
        others = gather(pool, ids[row, column], torch.device("cpu")).numpy()
        difference = queries[row].astype(np.float64) - others
        distances[row, column] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    changed = np.unique(rows)
    order = np.lexsort((ids[changed], distances[changed]))
    ids[changed] = np.take_along_axis(ids[changed], order, 1)
    distances[changed] = np.take_along_axis(distances[changed], order, 1)
    return ids, distances
