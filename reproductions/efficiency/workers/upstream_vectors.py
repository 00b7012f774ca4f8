"""NEAR and TSDS with upstream's dataflex, and TSDS with the authors' code; runs in upstream's environment."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from efficiency.measure import Job, Variant, serve
from efficiency.vectors import Vectors, few, make, recall, true_neighbours
from efficiency.workers.in_memory import arrays

CHECKED = 64
Tsds = Callable[[Vectors, Vectors, dict[str, Any]], dict[str, Any]]
"""Pool, queries and parameters; returns what a pass found out."""


def variants(job: Job) -> dict[str, Variant]:
    """Return those of upstream's two methods and the authors' TSDS that are asked for.

    What they import is imported here, and TSDS has run once on few rows: neither is timed.
    """
    options = job.options
    pool, queries = make(*(options[key] for key in ("rows", "queries", "dimension", "kind")))
    made: dict[str, Variant] = {}
    if "upstream near" in job.variants:
        k = min(options["neighbours"], len(pool))
        checked = np.unique(np.linspace(0, len(queries) - 1, CHECKED).astype(int))
        true = None if job.memory else true_neighbours(queries[checked], pool, k)
        search = upstream_near(k)

        def near() -> dict[str, Any]:
            found = search(pool, queries)
            return {} if true is None else {"recall": recall(found[checked], true)}

        made["upstream near"] = near
    for name, prepare in (("upstream tsds", upstream_tsds), ("authors tsds", authors_tsds)):
        if name in job.variants:
            tsds = prepare(options)
            tsds(*few(pool, queries, options))
            made[name] = partial(tsds, pool, queries, options)
    return made


def upstream_near(k: int) -> Callable[[Vectors, Vectors], Any]:
    """Return upstream's NEAR, for vectors instead of texts."""
    from dataflex.offline_selector.offline_near_selector import offline_near_Selector

    def search(pool: Vectors, queries: Vectors) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            saved = Path(folder, "near.npy")
            selector = offline_near_Selector(max_K=k, save_indices_path=str(saved))
            selector.candidate_sentence_embedding = lambda: pool
            selector.query_sentence_embedding = lambda: queries
            selector.selector()
            return np.load(saved)

    return search


def upstream_tsds(options: dict[str, Any]) -> Tsds:
    """Return upstream's TSDS, for vectors instead of texts."""
    from dataflex.offline_selector.offline_tsds_selector import offline_tsds_Selector

    def run(pool: Vectors, queries: Vectors, options: dict[str, Any]) -> dict[str, Any]:
        selector = offline_tsds_Selector(save_probs_path="tsds.npy", **parameters_of(options))
        selector.candidate_sentence_embedding = lambda: pool
        selector.query_sentence_embedding = lambda: queries
        with arrays({}):
            found = selector.selector()
        return {"possible": int((found > 0).sum())}

    return run


def authors_tsds(options: dict[str, Any]) -> Tsds:
    """Return the authors' script, with its configuration in the worker's folder.

    Its assertions need ``python -O``.
    """
    sys.path.insert(0, options["authors"])
    import tsds

    def run(pool: Vectors, queries: Vectors, options: dict[str, Any]) -> dict[str, Any]:
        config = parameters_of(options) | {
            "sample_size": 1000,
            "candidate_embedding_path": "pool.npy",
            "query_embedding_path": "queries.npy",
            "output_folder": ".",
        }
        # JSON is YAML too.
        Path("config.yaml").write_text(json.dumps(config))
        try:
            with arrays({"pool.npy": pool, "queries.npy": queries}):
                tsds.main()
        except ValueError as error:
            # Its probabilities may add up to more than one; all the work but the draw is done then.
            return {"failed": str(error)}
        return {}

    return run


def parameters_of(options: dict[str, Any]) -> dict[str, Any]:
    """Return what both implementations call by the same names."""
    return {key: options[key] for key in ("max_K", "kde_K", "sigma", "alpha", "C")}


if __name__ == "__main__":
    serve(variants)
