"""From embeddings to the sampling probabilities of TSDS: neighbours, densities and transport together.

How many neighbours the transport needs is not known before it is solved. Lists start short and grow, each as
far as the bound on s* says it may have to: what is returned is the optimum over all rows, not over the
``max_neighbours`` nearest, unless ``truncated`` says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dataflex.arrays import FloatArray, IntArray
from dataflex.signals.density import density
from dataflex.signals.embeddings import Embeddings
from dataflex.signals.neighbours import Index, nearest
from dataflex.signals.transport import Plan, transport

_PILOT = 32
"""Queries by which the first length of the lists is guessed."""
_SHORTEST = 16
"""Neighbours that a list begins with at the least."""


@dataclass(frozen=True)
class Assignment:
    """The solution and what it took."""

    probabilities: FloatArray
    """Probability of each row of the pool, shape ``(N,)``; they sum to one."""
    plan: Plan
    ids: IntArray
    """Neighbours of each query; the plan's columns."""
    known: IntArray
    """Number of each query's neighbours; what stands behind them in ``ids`` means nothing."""
    densities: FloatArray
    """rho of each row of the pool; NaN where it was not needed."""
    truncated: bool
    """Whether a list of ``max_neighbours`` ran out, so that a better plan may exist."""


def assign(
    embeddings: Embeddings,
    *,
    alpha: float,
    cost_scale: float,
    sigma: float,
    max_neighbours: int,
    index: Index = "exact",
    probes: int = 64,
) -> Assignment:
    """Solve the transport of TSDS from the validation rows to the pool. Equal on all ranks.

    Args:
        embeddings: of pool and validation rows.
        alpha: see ``transport``.
        cost_scale: see ``transport``.
        sigma: see ``density``.
        max_neighbours: length of a list at the most.
        index: see ``nearest``.
        probes: see ``nearest``.

    Raises:
        UserError: see ``nearest``.
    """
    pool, queries = embeddings.pool, embeddings.validation
    most = min(max_neighbours, len(pool))
    wanted = np.full(len(queries), _first_length(embeddings, alpha, cost_scale, most))
    known = np.zeros(len(queries), np.int64)
    ids, distances = np.zeros((len(queries), 0), np.int64), np.zeros((len(queries), 0))
    densities = np.full(len(pool), np.nan)
    while True:
        for length in np.unique(wanted[wanted > known]):
            rows = np.flatnonzero((wanted > known) & (wanted == length))
            wider = max(int(length) - ids.shape[1], 0)
            ids, distances = np.pad(ids, ((0, 0), (0, wider))), np.pad(distances, ((0, 0), (0, wider)))
            found = nearest(queries[rows], pool, int(length), index=index, probes=probes)
            ids[rows, :length], distances[rows, :length] = found.ids, found.distances
        known = np.maximum(known, wanted)
        inside = np.arange(ids.shape[1]) < known[:, None]
        needed = np.unique(ids[inside])
        needed = needed[np.isnan(densities[needed])]
        densities[needed] = density(pool, needed, sigma)
        weights = np.where(inside, 1 / densities[ids], 0)
        plan = transport(distances, weights, known, alpha=alpha, cost_scale=cost_scale)
        short = (weights.sum(1) <= plan.bound) & (known < len(pool))
        growing = short & (known < most)
        if not growing.any():
            break
        wanted = np.where(growing, np.minimum(2 * known, most), known)
    probabilities = np.bincount(ids[inside], plan.mass[inside], minlength=len(pool))
    truncated = bool((weights.sum(1)[known < len(pool)] <= plan.stop).any())
    return Assignment(probabilities / probabilities.sum(), plan, ids, known, densities, truncated)


def _first_length(embeddings: Embeddings, alpha: float, cost_scale: float, most: int) -> int:
    """Guess how many neighbours a query needs, from some queries and as if no rows were crowded."""
    queries = embeddings.validation
    some = queries[np.unique(np.linspace(0, len(queries) - 1, min(_PILOT, len(queries))).astype(int))]
    distances = nearest(some, embeddings.pool, most).distances
    full = np.full(len(some), most)
    plan = transport(distances, np.ones_like(distances), full, alpha=alpha, cost_scale=cost_scale)
    return int(np.clip(1.25 * plan.stop, min(_SHORTEST, most), most))
