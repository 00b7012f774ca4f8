"""Loss: scoring a pool against plain forward passes over the same rows, and against upstream."""

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
    cutoff: int = 256,
    batch: int = 8,
    repeats: int = 7,
    upstream_venv: Path | None = None,
    upstream_repeats: int = 3,
    threads: int,
) -> Report:
    """Measure and write ``loss-<model>.json``; see ``less.run`` for the arguments."""
    report = Report("loss")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report.about = workload.make(
            folder, data=data, model=model, rows=rows, validation=1, cutoff=cutoff, rank=8, batch=batch
        )
        bench = Bench(report, folder / "jobs", threads, "gradients")
        job = {"workload": str(folder), "options": {"shares": [1.0], "projection": 1}}
        names = ["plain forward@1.0", "losses@1.0"]
        bench.time(library(), dict.fromkeys(names, repeats), {}, **job)
        bench.remember(library(), names, {}, **job)
        if upstream_venv is not None:
            side = upstream(upstream_venv)
            kinds = [f"batch {b}, {workers} workers" for b in (1, batch) for workers in (0, 2)]
            theirs = [f"upstream loss, {kind}@1.0" for kind in kinds]
            bench.time(side, dict.fromkeys(["plain forward@1.0", *theirs], upstream_repeats), {}, **job)
            bench.remember(side, ["plain forward@1.0", theirs[2]], {}, **job)
        ours = report.scores.get("losses@1.0")
        for variant, scores in report.scores.items():
            if ours and variant.startswith("upstream"):
                worst = float(np.abs(np.subtract(ours, scores)).max())
                report.about["largest_difference"] = max(worst, report.about.get("largest_difference", 0.0))
    report.write(output / f"loss-{report.about['model']}.json")
    return report
