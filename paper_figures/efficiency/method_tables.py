"""Tables of what scoring takes: gradients, losses' neighbours and transport, in the shapes of the paper's."""

from __future__ import annotations

import math

from paper_figures.efficiency.job_tables import cell, untimed
from paper_figures.efficiency.projectors import projector
from paper_figures.efficiency.results import BY_LENGTH, POOL_ORDER, Record, Results, short
from paper_figures.table import Table

CHUNK = 16
"""Rows that upstream projects together."""


def less_table(results: Results) -> Table:
    """Seconds of LESS by share of the pool."""
    cases = sorted((case for case in results.cases()), key=lambda case: case["share"])
    shipped = next((c for c in cases if results.seconds("upstream", "upstream", c)), None)
    rows = []
    for case in cases:
        cells = [str(case["share"]), str(max(1, round(case["share"] * results.about["rows"])))]
        cells += [
            cell(results.seconds("library", kind, case))
            for kind in (POOL_ORDER, BY_LENGTH, "exact", "projected")
        ]
        cells.append(cell(results.seconds("upstream", "upstream, gradients", case)))
        for kind in ("upstream", "upstream, fp32"):
            measured = results.seconds("upstream", kind, case)
            cells.append(cell(measured) if measured else _extrapolated(results, kind, shipped, case))
        rows.append(cells)
    return Table(
        f"less-{results.about['model']}",
        f"LESS, seconds to score a pool ({results.about['model']}, {results.about['validation']} validation "
        "rows included), in the shape of the paper's table",
        (
            "ratio",
            "rows",
            "plain, pool order",
            BY_LENGTH,
            "ours",
            "ours, projected",
            "upstream, no projection",
            "upstream",
            "in fp32",
        ),
        rows,
        (
            "plain: forward and backward passes in this library's process; by length: in batches as ours.",
            f"upstream: its fp16 projection on this device{_by(results, shipped)}; "
            "in fp32: the same with one type changed.",
            "≈: not run; its gradients as measured, plus the measured time of a projection for every "
            f"{CHUNK} rows.",
            "The paper's seconds are on GPUs, with another model and data; only the shape is comparable.",
        ),
        results=[results.ids] * len(rows),
    )


def _by(results: Results, case: Record | None) -> str:
    name = projector(results, "upstream", case) if case else None
    return f", by trak's {name}" if name else ""


def _extrapolated(results: Results, kind: str, shipped: Record | None, case: Record) -> str:
    gradients = results.seconds("upstream", "upstream, gradients", case)
    chunks = results.fact("upstream", kind, shipped, "projection_seconds") if shipped else None
    if gradients is None or not chunks:
        return "-"
    rows = max(1, round(case["share"] * results.about["rows"]))
    measured = max(1, round(shipped["share"] * results.about["rows"])) if shipped else 0
    sizes = [
        min(CHUNK, count - start)
        for count in (measured, results.about["validation"])
        for start in range(0, count, CHUNK)
    ]
    per_row = sum(chunks) / sum(sizes)
    return f"≈ {short(gradients.median + per_row * (rows + results.about['validation']))}"


def tsds_table(results: Results) -> Table:
    """Seconds of TSDS by rows of the pool and number of queries."""
    rows = []
    for case in results.cases():
        cells = [f"{case['rows']:,}", str(case["queries"])]
        for kind in ("library tsds", "library tsds, own defaults"):
            cells.append(cell(results.seconds("library", kind, case)))
        for kind in ("upstream tsds", "authors tsds"):
            failed = results.fact("upstream", kind, case, "failed")
            cells.append(cell(results.seconds("upstream", kind, case)) + (" *" if failed else ""))
            for clock in ("seconds", "cpu_seconds"):
                ours = results.seconds("library", "library tsds", case, clock)
                theirs = results.seconds("upstream", kind, case, clock)
                cells.append(short(theirs.median / ours.median) if theirs and ours else "-")
        rows.append(cells)
    about = results.about
    return Table(
        "tsds",
        "TSDS, seconds from vectors to probabilities, in the shape of the paper's comparison",
        (
            *("pool", "queries", "ours", "ours, own defaults"),
            *("upstream", "/ ours", "processor time", "authors", "/ ours", "processor time"),
        ),
        rows,
        (
            f"Same vectors ({about['kind']}, {about['dimension']} dimensions) and parameters for all: alpha "
            f"{about['alpha']}, C {about['C']}, sigma {about['sigma']}, {about['max_K']} neighbours; the "
            "authors' code cuts neighbours to a tenth of the pool. Own defaults: alpha 0.5, C 1.",
            "Ours is exact, densities count the whole pool; upstream's neighbours are approximate.",
            untimed(results),
            "The sides ran one after the other: on a busy machine the ratio of processor time says more.",
            "*: stopped at the draw, since its probabilities added up to more than one.",
        ),
        results=[results.ids] * len(rows),
    )


def neighbours_table(results: Results) -> Table:
    """Seconds and recall of nearest neighbours."""
    rows = []
    for case in results.cases():
        cells = [case["kind"], f"{case['rows']:,}", str(case["queries"])]
        for side, kind in (
            ("library", "blocked product"),
            ("library", "library"),
            ("upstream", "upstream near"),
        ):
            cells.append(cell(results.seconds(side, kind, case)))
            recall = results.fact(side, kind, case, "recall")
            cells.append("-" if recall is None else f"{math.floor(recall * 1e4) / 1e4:.4f}")
        cells.append(cell(results.ratio("library", "library", case)))
        rows.append(cells)
    return Table(
        "neighbours",
        f"{results.about['neighbours']} nearest neighbours of every query: seconds and recall",
        (
            "vectors",
            "pool",
            "queries",
            "blocked product",
            "recall",
            "ours",
            "recall",
            "upstream NEAR",
            "recall",
            "ours / blocked",
        ),
        rows,
        (
            "Recall of up to 64 queries against distances in fp64, rounded down.",
            "upstream NEAR: building its inverted file, searching, and writing the result.",
        ),
        results=[results.ids] * len(rows),
    )
