"""LESS: scoring a pool against plain forward and backward passes over the same rows, and against upstream."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from efficiency import workload
from efficiency.sides import Bench, Report, library, upstream


def run(
    data: Path,
    model: str,
    output: Path,
    *,
    rows: int,
    validation: int = 8,
    cutoff: int = 256,
    rank: int = 8,
    batch: int = 8,
    shares: list[float],
    projection: int = 4096,
    repeats: int = 5,
    upstream_venv: Path | None = None,
    upstream_repeats: int = 3,
    upstream_projects: bool = True,
    checkpointing: bool = False,
    threads: int,
) -> Report:
    """Measure and write ``less-<model>.json``.

    Args:
        data: JSON file with rows of instruction, input and output.
        model: ``tiny`` or a model's folder.
        output: folder of the results.
        rows: rows of the pool.
        validation: rows of the validation set.
        cutoff: tokens of a row at the most.
        rank: of LoRA.
        batch: rows of a batch.
        shares: parts of the pool to score, as the sample ratios of the paper's table.
        projection: dimensions of projected gradients, on both sides.
        repeats: rounds on the largest share; at most three on the others.
        upstream_venv: environment of upstream's dataflex.
        upstream_repeats: rounds of its gradients, without projection.
        upstream_projects: run it once as shipped as well, on the smallest share.
        checkpointing: use gradient checkpointing on all sides.
        threads: of each process.
    """
    report = Report("less")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report.about = workload.make(
            folder,
            data=data,
            model=model,
            rows=rows,
            validation=validation,
            cutoff=cutoff,
            rank=rank,
            batch=batch,
        )
        report.about |= {"projection": projection, "checkpointing": checkpointing}
        bench = Bench(report, folder / "jobs", threads, "gradients")
        options = {"shares": shares, "projection": projection, "checkpointing": checkpointing}
        job = {"workload": str(folder), "options": options}
        names = (workload.PLAIN, "exact", "projected")
        largest, smallest = max(shares), min(shares)
        for share in sorted(shares):
            rounds = repeats if share == largest else min(repeats, 3)
            wanted = {f"{kind}@{share}": rounds for kind in names}
            # What padding costs; ours is not judged by it.
            wanted[f"plain@{share}"] = rounds
            if share == largest:
                wanted[f"plain one by one@{share}"] = repeats // 2
            bench.time(library(), wanted, {}, **job)
        bench.remember(library(), [f"{kind}@{largest}" for kind in names], {}, **job)
        if upstream_venv is not None:
            side = upstream(upstream_venv)
            for share in sorted(shares):
                wanted = {
                    f"{kind}@{share}": upstream_repeats for kind in (workload.PLAIN, "upstream, gradients")
                }
                bench.time(side, wanted, {}, **job)
            bench.remember(side, [f"{workload.PLAIN}@{largest}", f"upstream, gradients@{largest}"], {}, **job)
            if upstream_projects:
                # Upstream projects 16 rows at a time: its cost for more rows follows from that of 16.
                shipped = [f"upstream, fp32@{smallest}", f"upstream@{smallest}"]
                bench.remember(side, shipped, {}, **job)
        _compare(report, largest, smallest)
    report.write(output / f"less-{report.about['model']}.json")
    return report


def _compare(report: Report, largest: float, smallest: float) -> None:
    """Note how well scores agree: rank correlations with exact ones."""
    agreement = {}
    exact, projected = (report.scores.get(f"{kind}@{largest}") for kind in ("exact", "projected"))
    if exact and projected:
        agreement[f"projected with exact, {len(exact)} rows"] = correlation(exact, projected)
    first = (exact or [])[: len(report.scores.get(f"exact@{smallest}", []))]
    for kind in ("upstream", "upstream, fp32"):
        theirs = report.scores.get(f"{kind}@{smallest}")
        if theirs and first:
            agreement[f"{kind} with exact, {len(first)} rows"] = correlation(first, theirs)
    report.about["rank_correlations"] = agreement


def correlation(one: list[float], other: list[float]) -> float:
    """Return Spearman's rank correlation."""
    first, second = (np.argsort(np.argsort(values)) for values in (one, other))
    return float(np.corrcoef(first, second)[0, 1].item())
