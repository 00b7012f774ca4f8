"""The efficiency experiments of a grid: one benchmark job for every side, size and number of GPUs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

AUTHORS = "authors"
"""The side that runs the code published by a method's authors."""
SIZES = {"less": "ratios", "tsds": "pools"}
"""What each benchmark is made larger by, as the grid file names it."""


@dataclass(frozen=True, order=True)
class Benchmark:
    """One job: a method's implementation on one size of the pool."""

    method: str
    side: str
    """``ours``, ``upstream`` or ``authors``."""
    size: float
    """LESS: part of the pool; TSDS: rows of the pool."""
    gpus: int

    @property
    def name(self) -> str:
        """Name of its files, for example ``less.ours.ratio0.05.gpus8`` or ``tsds.authors.pool5000``."""
        what = f"ratio{self.size:g}.gpus{self.gpus}" if self.method == "less" else f"pool{self.size:.0f}"
        return f"{self.method}.{self.side}.{what}"


def benchmarks(grid: Mapping[str, Any]) -> list[Benchmark]:
    """Return the jobs that the grid's section ``efficiency`` stands for, in the order of the file.

    Sizes times sides times numbers of GPUs; the authors' code has no mode for several GPUs and gets one.
    """
    found = []
    for method, spec in grid.get("efficiency", {}).items():
        for side in spec["beside"]:
            for gpus in [1] if side == AUTHORS and method == "less" else spec.get("gpus", [0]):
                found += [Benchmark(method, side, size, gpus) for size in spec[SIZES[method]]]
    return found


def possible(jobs: Collection[Benchmark], checkouts: Mapping[str, str]) -> list[Benchmark]:
    """Return the jobs that can be run with the authors' code that there is, by method."""
    return [job for job in jobs if job.side != AUTHORS or job.method in checkouts]


def left_out(jobs: Collection[Benchmark], checkouts: Mapping[str, str]) -> list[str]:
    """Return a line for every method whose authors' code is asked for and not there."""
    missing = [job.method for job in jobs if job not in possible(jobs, checkouts)]
    return [
        f"left out: {missing.count(method)} jobs with the authors' code of {method.upper()}, which needs a "
        f"checkout: --config 'authors={{{method}: path}}'"
        for method in dict.fromkeys(missing)
    ]


def benchmark_repeats(grid: Mapping[str, Any], job: Benchmark) -> int:
    """Return how often a job's side is timed; one unless said, and on sizes above those that are said."""
    asked = grid["efficiency"][job.method].get("repeats", {}).get(job.side, 1)
    if isinstance(asked, int):
        return asked
    return int(asked["times"]) if job.size <= asked["up_to"] else 1


def benchmark_resources(grid: Mapping[str, Any], job: Benchmark) -> dict[str, Any]:
    """Return threads, runtime (minutes) and mem_mb of a job."""
    asked = grid["efficiency"][job.method].get("resources", {})
    return {"threads": 1, "runtime": 60, "mem_mb": 4000, **asked}
