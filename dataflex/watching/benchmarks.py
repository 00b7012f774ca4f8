"""The benchmarks of a grid's efficiency experiments: jobs without a cell, each with one file of results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from dataflex.watching.expected import EFFICIENCY
from dataflex.watching.jobs import JobFiles

BenchmarkWord = Literal["waiting", "queued", "running", "interrupted", "lost", "failed", "measured"]
WORDS: tuple[BenchmarkWord, ...] = get_args(BenchmarkWord)


@dataclass(frozen=True)
class BenchmarkState:
    """One benchmark.

    Attributes:
        name: see ``dataflex.grid.Benchmark``.
        state: see ``WORDS``; one that waits may wait for its inputs, or for its turn.
        reason: why it is in this state, where that is not plain.
        log: the one that exists, its own rather than Slurm's.
    """

    name: str
    state: BenchmarkWord
    reason: str | None = None
    log: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON types."""
        log = str(self.log) if self.log else None
        return {"name": self.name, "state": self.state, "reason": self.reason, "log": log}


def benchmark_state(root: Path, name: str, now: float) -> BenchmarkState:
    """Find out what a benchmark is doing.

    Args:
        root: the rung's folder.
        name: of the benchmark.
        now: Unix time.
    """
    job = JobFiles(root, EFFICIENCY, name, now)
    log = next((file for file in job.logs if file.is_file()), None)
    if (root / "results" / EFFICIENCY / f"{name}.json").is_file():
        return BenchmarkState(name, "measured", log=log)
    if job.lock is not None and job.lock.alive:
        return BenchmarkState(name, "running", log=log)
    state, reason = job.came_to() or ("waiting", None)
    word = next(word for word in WORDS if word == state)
    return BenchmarkState(name, word, reason, log)
