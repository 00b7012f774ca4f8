"""NEAR and TSDS with upstream's dataflex, and TSDS with the authors' code; runs in upstream's environment."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from efficiency.measure import Job, Variant, serve
from efficiency.vectors import Vectors, make, recall, true_neighbours

CHECKED = 64


def variants(job: Job) -> dict[str, Variant]:
    """Return upstream's two methods, and the authors' TSDS if its folder is given."""
    options = job.options
    pool, queries = make(*(options[key] for key in ("rows", "queries", "dimension", "kind")))
    k = min(options["neighbours"], len(pool))
    checked = np.unique(np.linspace(0, len(queries) - 1, CHECKED).astype(int))
    true = None if job.memory else true_neighbours(queries[checked], pool, k)

    def near() -> dict[str, Any]:
        found = upstream_near(pool, queries, k)
        return {} if true is None else {"recall": recall(found[checked], true)}

    return {
        "upstream near": near,
        "upstream tsds": partial(upstream_tsds, pool, queries, options),
        "authors tsds": partial(authors_tsds, pool, queries, options),
    }


def upstream_near(pool: Vectors, queries: Vectors, k: int) -> Any:
    """Run upstream's NEAR on vectors instead of texts."""
    from dataflex.offline_selector.offline_near_selector import offline_near_Selector

    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder, "near.npy")
        selector = offline_near_Selector(max_K=k, save_indices_path=str(saved))
        selector.candidate_sentence_embedding = lambda: pool
        selector.query_sentence_embedding = lambda: queries
        selector.selector()
        return np.load(saved)


def upstream_tsds(pool: Vectors, queries: Vectors, options: dict[str, Any]) -> dict[str, Any]:
    """Run upstream's TSDS on vectors instead of texts."""
    from dataflex.offline_selector.offline_tsds_selector import offline_tsds_Selector

    parameters = {key: options[key] for key in ("max_K", "kde_K", "sigma", "alpha", "C")}
    with tempfile.TemporaryDirectory() as folder:
        selector = offline_tsds_Selector(save_probs_path=str(Path(folder, "tsds.npy")), **parameters)
        selector.candidate_sentence_embedding = lambda: pool
        selector.query_sentence_embedding = lambda: queries
        found = selector.selector()
    return {"possible": int((found > 0).sum())}


def authors_tsds(pool: Vectors, queries: Vectors, options: dict[str, Any]) -> dict[str, Any]:
    """Run the authors' script in a folder with its configuration. Its assertions need ``python -O``."""
    sys.path.insert(0, options["authors"])
    import tsds

    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "pool.npy", pool)
        np.save(folder / "queries.npy", queries)
        parameters = {key: options[key] for key in ("max_K", "kde_K", "sigma", "alpha", "C")}
        config = parameters | {
            "sample_size": 1000,
            "candidate_embedding_path": "pool.npy",
            "query_embedding_path": "queries.npy",
            "output_folder": "output",
        }
        # JSON is YAML too.
        (folder / "config.yaml").write_text(json.dumps(config))
        os.chdir(folder)
        try:
            tsds.main()
        except ValueError as error:
            # Its probabilities may add up to more than one; all the work but the draw is done then.
            return {"failed": str(error)}
        finally:
            os.chdir(before)
    return {}


if __name__ == "__main__":
    serve(variants)
