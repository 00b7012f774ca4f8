"""Quantities of the benchmarks of time and memory."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping

from dataflex.errors import UserError
from paper_figures.efficiency.results import Results, median_interval
from paper_figures.efficiency.step_tables import CASE, LIMITS
from paper_figures.prose import shown

Quantity = Callable[[Results, str], str]
"""The benchmark, and what stands behind the quantity's name: a number of processes, a variant."""
LIBRARY = "library"


def _build(results: Results, workers: str) -> float:
    """Median seconds of a corpus's build."""
    seconds = results.seconds(LIBRARY, "build", {"workers": int(workers)})
    if seconds is None:
        raise UserError(f"no build with {workers} processes was measured")
    return seconds.median


def seconds(results: Results, workers: str) -> str:
    """Seconds that building the corpus took with some processes."""
    return f"{_build(results, workers):,.0f}"


def faster(results: Results, workers: str) -> str:
    """How many times as fast some processes build the corpus as one does."""
    return shown.plain(_build(results, "1") / _build(results, workers), 1)


def memory(results: Results, workers: str) -> str:
    """Peak memory of the largest process of a build, in GB."""
    runs = results.runs(LIBRARY, "build", {"workers": int(workers)})
    return shown.plain(max(run["worker_peak_mib"] for run in runs) * 2**20 / 1e9, 2)


def size(results: Results, _: str) -> str:
    """GB of text that the corpus was built of."""
    return f"{results.about['bytes'] / 1e9:.0f}"


def _ratios(results: Results, variant: str) -> list[float]:
    ratios = results.ratios(LIBRARY, variant, CASE)
    if not ratios:
        raise UserError(f"{results.name} measured no {variant!r}")
    return ratios


def step(results: Results, variant: str) -> str:
    """Median time of a step, in steps of LLaMA-Factory's trainer."""
    return shown.plain(statistics.median(_ratios(results, variant)), 3)


def limit(results: Results, variant: str) -> str:
    """The limit that a step's time is below with its whole interval.

    Raises:
        UserError: it is not.
    """
    interval = median_interval(_ratios(results, variant))
    if interval is None or interval[1] > LIMITS[variant]:
        raise UserError(f"{variant!r} is no longer within {LIMITS[variant]}: say what was measured")
    return shown.plain(LIMITS[variant], 2)


QUANTITIES: Mapping[str, Quantity] = {
    "seconds": seconds,
    "faster": faster,
    "memory": memory,
    "size": size,
    "step": step,
    "limit": limit,
}
