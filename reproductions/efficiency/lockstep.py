"""Training runs that take one optimizer step at a time, in turn, each in a process of its own.

A step that costs two per cent more than another is lost in the noise of runs that follow each other. Here
steps that are compared lie within seconds, and all runs but one wait: a machine that is busy for a while is
so for every run, and the ratio of two steps of one round stays right.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efficiency.measure import WorkerError, worker_variables
from efficiency.sides import Side

_PATIENCE = 30
"""Seconds that a run gets to end by itself."""
_TOGETHER = 2
"""Runs that load at the same time."""


@dataclass(frozen=True)
class Plan:
    """A run that is to be measured."""

    side: Side
    variant: str
    config: dict[str, Any]
    """LLaMA-Factory's keys and those that the side adds."""


class Run:
    """A training run that waits before every step; see ``efficiency.workers.gate`` for its end of the line.

    Args:
        plan: what to train.
        folder: a new one, where it starts and keeps its log and its caches.
        threads: of the process.
    """

    def __init__(self, plan: Plan, folder: Path, threads: int) -> None:
        self.plan = plan
        folder.mkdir(parents=True)
        self._log = folder / "log.txt"
        job = folder / "job.json"
        job.write_text(json.dumps({"config": plan.config, "threads": threads}))
        mine, theirs = os.pipe()
        self._reports = os.fdopen(mine)
        command = [
            plan.side.python,
            "-m",
            f"efficiency.workers.{plan.side.name}_steps",
            str(job),
            str(theirs),
        ]
        # Tokenised rows of one run must not be found by another.
        own = {"HF_DATASETS_CACHE": str(folder / "datasets"), "HF_HUB_OFFLINE": "1"}
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=worker_variables(threads, plan.side.paths) | own,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs,),
                text=True,
            )
        os.close(theirs)

    def report(self) -> dict[str, Any]:
        """Wait until the run stops before its next step, and return what it tells about the last one.

        Raises:
            WorkerError: it has ended.
        """
        line = self._reports.readline()
        if not line:
            lines = self._log.read_text(errors="replace").strip().splitlines() or ["no output"]
            raise WorkerError(f"{self.plan.variant} ended: {lines[-1]}")
        found: dict[str, Any] = json.loads(line)
        return found

    def go(self) -> None:
        """Let the run take one optimizer step."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write("\n")
            self._process.stdin.flush()

    def close(self) -> None:
        """End the run."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reports.close()


@dataclass(frozen=True)
class Step:
    """What one run told in one round; round -1 is before the first step."""

    plan: Plan
    round: int
    told: dict[str, Any] | None
    """None: the run has failed, and takes no further part."""
    error: str = ""


def lockstep(plans: Sequence[Plan], folder: Path, threads: int, rounds: int) -> Iterator[Step]:
    """Start all runs, then let each take one step a round, in an order that is drawn anew for every round.

    Args:
        plans: the runs.
        folder: for their files.
        threads: of each process.
        rounds: steps of each run.

    Yields:
        A step as soon as it is done; first of all what each run tells before its first.
    """
    runs: list[Run] = []
    ready: list[Run] = []
    order = random.Random(0)
    try:
        for number in range(len(plans) + _TOGETHER):
            if number >= _TOGETHER:
                yield _stop(runs[number - _TOGETHER], -1, ready)
            if number < len(plans):
                runs.append(Run(plans[number], folder / f"run{number}", threads))
        for turn in range(rounds):
            taking_part, ready = ready, []
            order.shuffle(taking_part)
            for run in taking_part:
                run.go()
                yield _stop(run, turn, ready)
    finally:
        for run in runs:
            run.close()


def _stop(run: Run, turn: int, ready: list[Run]) -> Step:
    """Wait for a run's next stop; it is added to those that are ready, unless it has ended."""
    try:
        told = run.report()
    except WorkerError as error:
        return Step(run.plan, turn, None, str(error))
    ready.append(run)
    return Step(run.plan, turn, told)
