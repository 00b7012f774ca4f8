"""The state of a run: jobs by rule, and an estimate of the time left."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping

from dataflex.watching.duration import duration

GUESS = {
    "corpus": 40.0,
    "model": 15.0,
    "train": 60.0,
    "evaluate": 40.0,
    "evaluate_step": 30.0,
    "benchmark": 60.0,
}
"""Seconds that a job takes as long as none of its rule has ended; other rules take about one."""


class Board:
    """Counts what is done, running and left, and measures how long each rule's jobs take."""

    def __init__(self) -> None:
        self.jobs: dict[int, tuple[str, str]] = {}
        self.expected: dict[str, int] = {}
        self.done: dict[str, int] = defaultdict(int)
        self.running: dict[int, float] = {}
        self.spent: dict[str, float] = defaultdict(float)
        self.widest = min(2, os.cpu_count() or 1)

    def expect(self, stats: Mapping[str, int]) -> None:
        """Take the number of jobs of each rule."""
        self.expected = {rule: count for rule, count in stats.items() if rule != "total"}

    def start(self, jobid: int, rule: str, name: str, now: float) -> None:
        """A job begins to run."""
        self.jobs[jobid] = (rule, name)
        self.running[jobid] = now
        self.widest = max(self.widest, min(len(self.running), os.cpu_count() or 1))

    def finish(self, jobid: int, now: float) -> float:
        """A job has ended; returns its seconds."""
        seconds = now - self.running.pop(jobid, now)
        rule = self.jobs.get(jobid, ("", ""))[0]
        self.done[rule] += 1
        self.spent[rule] += seconds
        return seconds

    def left(self, rule: str) -> int:
        """Jobs of a rule that have not ended."""
        return self.expected.get(rule, 0) - self.done[rule]

    def typical(self, rule: str) -> float:
        """Mean seconds of the rule's jobs so far, or a guess."""
        return self.spent[rule] / self.done[rule] if self.done[rule] else GUESS.get(rule, 1.0)

    def seconds_left(self, now: float) -> float:
        """Work of the jobs that have not ended, over the number of jobs that were seen side by side."""
        work = sum(self.typical(rule) * self.left(rule) for rule in self.expected)
        under_way = sum(
            min(now - begun, self.typical(self.jobs.get(jobid, ("", ""))[0]))
            for jobid, begun in self.running.items()
        )
        return max(work - under_way, 0.0) / self.widest

    def state(self, now: float) -> str:
        """One sentence on the grid: cells trained and evaluated, jobs running, time left."""
        running = sum(self.jobs.get(jobid, ("", ""))[0] in GUESS for jobid in self.running)
        parts = [
            f"{self.done[rule]}/{self.expected[rule]} {verb}"
            for rule, verb in (("train", "trained"), ("evaluate", "evaluated"))
            if self.expected.get(rule)
        ]
        parts.append(f"{running} running")
        return f"[{', '.join(parts)}, about {duration(self.seconds_left(now))} left]"
