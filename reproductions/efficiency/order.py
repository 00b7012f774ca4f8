"""The order of the training data: a step's rows at any place of a run over any number of rows."""

from __future__ import annotations

import tempfile
from pathlib import Path

from efficiency.sides import Bench, Report, library


def run(output: Path, *, rows: list[int], domains: int, batch: int, repeats: int = 5) -> Report:
    """Measure and write ``order.json``.

    Args:
        output: folder of the results.
        rows: numbers of rows of all domains together.
        domains: strata of the mixture.
        batch: rows of a step.
        repeats: rounds.
    """
    report = Report("order", {"domains": domains, "batch": batch})
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(report, Path(name), 1, "order")
        for count in rows:
            options = {"rows": count, "domains": domains, "batch": batch}
            ours = ["step", "seek"]
            bench.time(library(), dict.fromkeys(ours, repeats), {"rows": count}, options=options)
        bench.remember(library(), ours, {"rows": max(rows)}, options=options)
    report.write(output / "order.json")
    return report
