"""Nearest neighbours of unit vectors: exact, by blocked matrix products with a running top k.

Every query meets every row, so no neighbour is ever missed. A product in fp32 can put two rows that are
almost equally near into the wrong order; such rows are few, so their distances are computed again from the
differences in fp64. The result is the order of the true distances, with ties by row number, whatever the
device, the number of threads and of ranks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from dataflex.collectives import sum_over_ranks, world
from dataflex.signals.products import (
    IntArray,
    Vectors,
    block,
    full_precision,
    gather,
    product_device,
    rounding,
)

FloatArray = npt.NDArray[np.float64]
Index = Literal["exact", "approximate"]

_QUERIES = 2048
"""Queries that meet a block of the pool at once."""
_SCORES = 2**25
"""Products that are held at once (128 MiB)."""
_SPARE = 16
"""Rows kept beyond k, to see whether rows outside tie with the last one inside."""
_NEAR = 0.95
"""From this cosine on 2 - 2 cos has lost so many digits that the distance is computed from the difference."""
_PAIRS = 2**11
"""Pairs whose differences are held at once."""


@dataclass(frozen=True)
class Neighbours:
    """The nearest rows of each query, nearest first; rows at the same distance by number."""

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

    Time is that of the products, memory O(M k) and one block: the pool may be a memory map.

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
        ids, distances = _settle(share, pool, ids, np.ones(ids.shape, np.float32), k)
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
    ids, scores = _top(queries, pool, min(k + _SPARE, len(pool)), device)
    settled, distances = _settle(queries, pool, ids, scores, k)
    if ids.shape[1] == len(pool):
        return settled, distances
    # Where even the spare rows tie with the k-th, rows outside of them may tie as well.
    ranked = -np.sort(-scores, axis=1)
    floor = ranked[:, k - 1] - 2 * rounding(queries.shape[1])
    again = np.flatnonzero(ranked[:, -1] >= floor)
    for row, near, score in _above(queries, pool, again, floor, device):
        one = _settle(queries[row : row + 1], pool, near[None], score[None], k)
        settled[row], distances[row] = one[0][0], one[1][0]
    return settled, distances


def _top(queries: Vectors, pool: Vectors, kept: int, device: torch.device) -> tuple[IntArray, Vectors]:
    """Return ids and products of the ``kept`` rows with the largest products, in no order; ``(M, kept)``."""
    width = max(_SCORES // max(min(_QUERIES, len(queries)), 1), kept, 1024)
    parts = torch.from_numpy(queries).to(device).split(_QUERIES)
    best: list[tuple[torch.Tensor, torch.Tensor] | None] = [None] * len(parts)
    for start in range(0, len(pool), width):
        rows = block(pool, start, min(start + width, len(pool)), device)
        for place, part in enumerate(parts):
            scores, held = part @ rows.T, best[place]
            values, columns = _best_of(scores, min(kept, len(rows)), held, start)
            columns += start
            if held is not None:
                values, columns = torch.cat([held[0], values], 1), torch.cat([held[1], columns], 1)
            if values.shape[1] > kept:
                values, places = values.topk(kept, sorted=False)
                columns = columns.gather(1, places)
            best[place] = values, columns
    done = [held for held in best if held is not None]
    if not done:
        return np.empty((0, kept), np.int64), np.empty((0, kept), np.float32)
    return torch.cat([c for _, c in done]).cpu().numpy(), torch.cat([v for v, _ in done]).cpu().numpy()


def _best_of(
    scores: torch.Tensor, count: int, held: tuple[torch.Tensor, torch.Tensor] | None, seen: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the largest ``count`` of a block, or fewer if no other can enter the rows held."""
    if held is not None and held[0].shape[1] <= seen:
        # Of rows in random order so many of the block belong to the best of all: six deviations are enough.
        share = held[0].shape[1] * scores.shape[1] / (seen + scores.shape[1])
        few = int(share + 6 * np.sqrt(share)) + 8
        if few < count:
            values, columns = scores.topk(few, sorted=False)
            if (values.amin(1) <= held[0].amin(1)).all():
                return values, columns
    return scores.topk(count, sorted=False)


def _above(
    queries: Vectors, pool: Vectors, again: IntArray, floor: Vectors, device: torch.device
) -> Iterator[tuple[int, IntArray, Vectors]]:
    """Yield queries with ids and products of all rows whose product is at least the query's floor."""
    for mine in np.array_split(again, -(-len(again) // 64) or 1):
        part, least = torch.from_numpy(queries[mine]).to(device), torch.from_numpy(floor[mine]).to(device)
        found = []
        for start in range(0, len(pool), _SCORES // 64):
            products = part @ block(pool, start, start + _SCORES // 64, device).T
            place, column = torch.nonzero(products >= least[:, None], as_tuple=True)
            found.append((place.cpu(), (column + start).cpu(), products[place, column].cpu()))
        places, ids, scores = (torch.cat(parts).numpy() for parts in zip(*found, strict=True))
        for number, row in enumerate(mine.tolist()):
            yield row, ids[places == number], scores[places == number]


def _settle(
    queries: Vectors, pool: Vectors, ids: IntArray, scores: Vectors, k: int
) -> tuple[IntArray, FloatArray]:
    """Put rows into the order of their true distances; return ids and distances of the first ``k``."""
    ranked, order = torch.from_numpy(-scores).sort(dim=1)
    ids = torch.from_numpy(ids).gather(1, order).numpy()
    distances = (2 + 2 * ranked.double()).clamp_(min=0).sqrt_().numpy()
    # A run of rows, each of which can't be told from the one before, is put in order by itself.
    starts = np.ones(ids.shape, bool)
    starts[:, 1:] = np.diff(ranked.numpy(), axis=1) > 2 * rounding(queries.shape[1])
    unsure = (ranked < -_NEAR).numpy() | ~starts
    unsure[:, :-1] |= ~starts[:, 1:]
    run = np.cumsum(starts)[unsure.ravel()]
    rows, columns = np.nonzero(unsure)
    true = np.empty(len(rows))
    for start in range(0, len(rows), _PAIRS):
        part = slice(start, start + _PAIRS)
        others = gather(pool, ids[rows[part], columns[part]], torch.device("cpu")).numpy()
        difference = queries[rows[part]].astype(np.float64) - others
        true[part] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    inside = np.lexsort((ids[rows, columns], true, run))
    ids[rows, columns], distances[rows, columns] = ids[rows, columns][inside], true[inside]
    return ids[:, :k], distances[:, :k]
