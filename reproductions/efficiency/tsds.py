"""TSDS from vectors to probabilities: this library, upstream's and the authors' code."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from efficiency.sides import Bench, Report, library, upstream

PARAMETERS = {"max_K": 5000, "kde_K": 1000, "sigma": 0.75, "alpha": 0.6, "C": 5.0}
"""Upstream's defaults, for all sides."""
CLOCK = {"untimed": "imports, files, a first pass over few rows"}
"""What no side is timed with; results without this key are of first passes, with imports and files."""
SMALL = 20_000
"""Rows up to which another side's pass is short enough to be repeated."""


def run(
    output: Path,
    *,
    pools: list[int],
    queries: list[int],
    dimension: int = 384,
    kind: str = "clustered",
    repeats: int = 3,
    upstream_venv: Path | None = None,
    authors: Path | None = None,
    threads: int,
) -> Report:
    """Measure and write ``tsds.json``.

    Args:
        output: folder of the results.
        pools: numbers of rows.
        queries: numbers of queries.
        dimension: of a vector.
        kind: of vectors, see ``vectors.make``.
        repeats: rounds; one of upstream's and the authors' code on larger pools than ``SMALL``.
        upstream_venv: environment of upstream's dataflex.
        authors: a checkout of the authors' repository, run in upstream's environment.
        threads: of each process.
    """
    report = Report("tsds", {"dimension": dimension, "kind": kind} | PARAMETERS | CLOCK)
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(report, Path(name), threads, "vectors")
        for rows in pools:
            for asked in queries:
                case: dict[str, Any] = {"rows": rows, "queries": asked}
                options = case | {"kind": kind, "dimension": dimension, "neighbours": 1} | PARAMETERS
                options["authors"] = str(authors.resolve()) if authors else ""
                ours = ["library tsds", "library tsds, own defaults"]
                theirs = ["upstream tsds"] * (upstream_venv is not None)
                theirs += ["authors tsds"] * (upstream_venv is not None and authors is not None)
                largest = (rows, asked) == (max(pools), max(queries))
                bench.time(library(), dict.fromkeys(ours, repeats), case, options=options)
                bench.remember(library(), ours if largest else [], case, options=options)
                for variant in theirs:
                    assert upstream_venv is not None
                    side = upstream(upstream_venv)
                    if largest:
                        bench.remember(side, [variant], case, options=options)
                    else:
                        bench.time(side, {variant: repeats if rows <= SMALL else 1}, case, options=options)
    report.write(output / "tsds.json")
    return report
