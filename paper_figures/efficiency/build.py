"""All tables and figures that a folder of benchmark results can fill."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from paper_figures.drawings import Drawing
from paper_figures.efficiency.data_tables import corpus_table, order_table
from paper_figures.efficiency.figure import draw
from paper_figures.efficiency.job_tables import less_jobs, put_together, tsds_jobs
from paper_figures.efficiency.method_tables import less_table, neighbours_table, tsds_table
from paper_figures.efficiency.overview import environments, measurements, memory, targets
from paper_figures.efficiency.paper_table import paper_table
from paper_figures.efficiency.results import STEPS, Results
from paper_figures.efficiency.step_tables import draw_steps, steps_table
from paper_figures.efficiency.tsds_figure import tsds_figure
from paper_figures.table import Table

TABLES = {
    ("less", False): less_table,
    ("less", True): less_jobs,
    ("tsds", False): tsds_table,
    ("tsds", True): tsds_jobs,
    ("neighbours", False): neighbours_table,
    ("corpus", False): corpus_table,
    ("order", False): order_table,
}
"""By benchmark, and whether its results are those of a grid's jobs."""
MEASUREMENTS = "measurements.csv"


def read(folder: Path) -> list[Results]:
    """The results in a folder, those of jobs that belong together as one; none if it holds none."""
    return put_together([Results(path) for path in sorted(folder.glob("*.json"))])


def tables(every: Sequence[Results]) -> list[Table]:
    """All tables that these results can fill."""
    stepwise = [results for results in every if results.benchmark == STEPS]
    found = [targets([results for results in every if results not in stepwise])]
    found += [steps_table(results) for results in stepwise]
    for results in every:
        if make := TABLES.get((results.benchmark, "job" in results.about)):
            found.append(make(results))
    if beside := paper_table(every):
        found.append(beside)
    return [*found, memory(every)]


def drawings(every: Sequence[Results]) -> list[Drawing]:
    """All figures that these results can fill."""
    stepwise = [results for results in every if results.benchmark == STEPS]
    chosen = {
        "efficiency": (
            draw(every),
            ("less", "tsds"),
            "Seconds over the size of the pool.",
            "LESS and TSDS, each side a line.",
        ),
        "steps": (
            draw_steps(stepwise),
            (STEPS,),
            "Time of an optimizer step over that of LLaMA-Factory's trainer.",
            "Medians with their 95 % intervals.",
        ),
        "tsds": (
            tsds_figure(every),
            ("tsds",),
            "TSDS from vectors to probabilities.",
            "Left: seconds; right: how much less than the authors' code, beside the published saving (grey).",
        ),
    }
    return [
        Drawing(name, caption, how, figure, [i for r in every if r.benchmark in shown for i in r.ids])
        for name, (figure, shown, caption, how) in chosen.items()
        if figure is not None
    ]


def write(folder: Path, notes: Sequence[str] = ()) -> str:
    """Write ``tables.md``, ``measurements.csv`` and the figures into the folder; return the tables.

    Args:
        folder: of the results.
        notes: stand below the tables.

    Raises:
        SystemExit: the folder holds no results.
    """
    every = read(folder)
    if not every:
        raise SystemExit(f"{folder} holds no results: run a benchmark first")
    text = "\n".join(table.markdown() for table in tables(every)) + "\n" + environments(every)
    text += "".join(f"- {note}\n" for note in notes)
    (folder / "tables.md").write_text(text)
    (folder / MEASUREMENTS).write_text(measurements(every))
    for drawing in drawings(every):
        drawing.write(folder, ("svg",))
    return text
