"""The state of a run: jobs by rule, and, where jobs run on this machine, an estimate of the time left."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from dataflex.watching.duration import duration

TIMED = ("corpus", "model", "train", "evaluate", "evaluate_steps", "benchmark")
"""Rules whose jobs take long enough to be counted and to wait for; others take about a second."""
SHORT = 1.0


class Board:
    """Counts what is done, under way and left, and measures how long each rule's jobs take.

    Attributes:
        remote: whether jobs are handed to a cluster: then they wait in its queue for nobody knows how long,
            and neither their times nor what is left of them can be told.
        cores: that the jobs of this machine share.
    """

    def __init__(self) -> None:
        self.remote = False
        self.cores = 1
        self.jobs: dict[int, tuple[str, str]] = {}
        self.expected: dict[str, int] = {}
        self.done: dict[str, int] = defaultdict(int)
        self.under_way: dict[int, float] = {}
        self.spent: dict[str, float] = defaultdict(float)
        self.widest = 1

    def expect(self, stats: Mapping[str, int]) -> None:
        """Take the number of jobs of each rule."""
        self.expected = {rule: count for rule, count in stats.items() if rule != "total"}

    def start(self, jobid: int, rule: str, name: str, now: float) -> None:
        """A job begins to run here, or is handed to the cluster."""
        self.jobs[jobid] = (rule, name)
        self.under_way[jobid] = now
        self.widest = max(self.widest, min(len(self.under_way), self.cores))

    def finish(self, jobid: int, now: float) -> float:
        """A job has ended; returns its seconds."""
        seconds = now - self.under_way.pop(jobid, now)
        rule = self.jobs.get(jobid, ("", ""))[0]
        self.done[rule] += 1
        self.spent[rule] += seconds
        return seconds

    def fail(self, jobid: int) -> None:
        """A job has failed: it is under way no more, and still to be done."""
        self.under_way.pop(jobid, None)

    def left(self, rule: str) -> int:
        """Jobs of a rule that have not ended."""
        return self.expected.get(rule, 0) - self.done[rule]

    def typical(self, rule: str) -> float | None:
        """Mean seconds of the rule's jobs so far; None before one of a rule that takes time has ended."""
        if self.done[rule]:
            return self.spent[rule] / self.done[rule]
        return None if rule in TIMED else SHORT

    def seconds_left(self, now: float) -> float | None:
        """Work of the jobs that have not ended, over the number of jobs that were seen side by side.

        None in a cluster, and before every rule that takes time has shown its pace.
        """
        paces = {rule: self.typical(rule) for rule in self.expected if self.left(rule) > 0}
        known = {rule: pace for rule, pace in paces.items() if pace is not None}
        if self.remote or len(known) < len(paces):
            return None
        work = sum(pace * self.left(rule) for rule, pace in known.items())
        over = sum(
            min(now - begun, known.get(self.jobs.get(jobid, ("", ""))[0], 0.0))
            for jobid, begun in self.under_way.items()
        )
        return max(work - over, 0.0) / self.widest

    def state(self, now: float) -> str:
        """One sentence on the grid: cells trained and evaluated, jobs under way, time left if it is known."""
        count = sum(self.jobs.get(jobid, ("", ""))[0] in TIMED for jobid in self.under_way)
        parts = [
            f"{self.done[rule]}/{self.expected[rule]} {verb}"
            for rule, verb in (("train", "trained"), ("evaluate", "evaluated"))
            if self.expected.get(rule)
        ]
        parts.append(f"{count} {'submitted' if self.remote else 'running'}")
        seconds = self.seconds_left(now)
        if seconds is not None:
            parts.append(f"about {duration(seconds)} left")
        return f"[{', '.join(parts)}]"
