"""Neighbours and TSDS with this library, beside a plain blocked matrix product."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch

from dataflex.signals.assignment import assign
from dataflex.signals.embeddings import Embeddings
from dataflex.signals.neighbours import nearest
from efficiency.measure import Job, Variant, device, serve
from efficiency.vectors import Vectors, few, make, recall, true_neighbours

BLOCK = 16384
CHECKED = 64
"""Queries whose neighbours are compared with those in fp64."""


def variants(job: Job) -> dict[str, Variant]:
    """Return a plain search, the library's and its TSDS."""
    options = job.options
    pool, queries = make(*(options[key] for key in ("rows", "queries", "dimension", "kind")))
    k = min(options["neighbours"], len(pool))
    checked = np.unique(np.linspace(0, len(queries) - 1, CHECKED).astype(int))
    true = None if job.memory else true_neighbours(queries[checked], pool, k)

    def judged(search: Any) -> dict[str, Any]:
        found = search(queries, pool, k)
        return {} if true is None else {"recall": recall(found[checked], true)}

    if not job.memory:
        blocked(queries[:8], pool[:2048], 8)
    if any("tsds" in name for name in job.variants):
        tsds(*few(pool, queries, options))
    return {
        "blocked product": partial(judged, blocked),
        "library": partial(judged, lambda queries, pool, k: nearest(queries, pool, k).ids),
        "library tsds": partial(tsds, pool, queries, options),
        "library tsds, own defaults": partial(tsds, pool, queries, {**options, "alpha": 0.5, "C": 1.0}),
    }


def blocked(queries: Vectors, pool: Vectors, k: int) -> Any:
    """The yardstick: products of a block of the pool with all queries, top k, joined with the best so far."""
    where = device()
    asked = torch.from_numpy(queries).to(where)
    values = torch.empty(len(queries), 0, device=where)
    ids = torch.empty(len(queries), 0, dtype=torch.int64, device=where)
    for start in range(0, len(pool), BLOCK):
        rows = torch.from_numpy(pool[start : start + BLOCK]).to(where)
        best, columns = (asked @ rows.T).topk(min(k, len(rows)), dim=1)
        values, ids = torch.cat([values, best], 1), torch.cat([ids, columns + start], 1)
        values, places = values.topk(min(k, values.shape[1]), dim=1)
        ids = ids.gather(1, places)
    return ids.cpu().numpy()


def tsds(pool: Vectors, queries: Vectors, options: dict[str, Any]) -> dict[str, Any]:
    """Return what TSDS found out about its own solution."""
    solved = assign(
        Embeddings(pool, queries),
        alpha=options["alpha"],
        cost_scale=options["C"],
        sigma=options["sigma"],
        max_neighbours=options["max_K"],
    )
    return {"truncated": solved.truncated, "possible": int((solved.probabilities > 0).sum())}


if __name__ == "__main__":
    serve(variants)
