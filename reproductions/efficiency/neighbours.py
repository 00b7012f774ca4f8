"""Nearest neighbours against a plain blocked matrix product, and against upstream's inverted file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from efficiency.sides import Bench, Report, library, upstream


def run(
    output: Path,
    *,
    pools: list[int],
    queries: list[int],
    neighbours: int = 1000,
    dimension: int = 384,
    kinds: tuple[str, ...] = ("clustered", "isotropic"),
    repeats: int = 5,
    upstream_venv: Path | None = None,
    threads: int,
) -> Report:
    """Measure and write ``neighbours.json``.

    Args:
        output: folder of the results.
        pools: numbers of rows.
        queries: numbers of queries.
        neighbours: of each query.
        dimension: of a vector.
        kinds: of vectors, see ``vectors.make``.
        repeats: rounds.
        upstream_venv: environment of upstream's dataflex.
        threads: of each process.
    """
    report = Report("neighbours", {"neighbours": neighbours, "dimension": dimension})
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(report, Path(name), threads, "vectors")
        for kind in kinds:
            for rows in pools:
                for asked in queries:
                    case: dict[str, Any] = {"kind": kind, "rows": rows, "queries": asked}
                    options = case | {"dimension": dimension, "neighbours": neighbours}
                    ours = ["blocked product", "library"]
                    bench.time(library(), dict.fromkeys(ours, repeats), case, options=options)
                    largest = (rows, asked, kind) == (max(pools), max(queries), kinds[0])
                    if largest:
                        bench.remember(library(), ours, case, options=options)
                    if upstream_venv is not None:
                        side = upstream(upstream_venv)
                        bench.time(side, {"upstream near": min(repeats, 3)}, case, options=options)
                        if largest:
                            bench.remember(side, ["upstream near"], case, options=options)
    report.write(output / "neighbours.json")
    return report
