"""What is known of a job from the files that it, its workflow and Slurm's records leave."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from dataflex.watching.attempts import (
    INTERRUPTED,
    Attempt,
    Lock,
    read_attempts,
    read_lock,
    read_submission,
)
from dataflex.watching.tails import last_words, modified

Ended = Literal["queued", "interrupted", "lost", "failed"]
"""How a job stands that nobody is at work on."""


class JobFiles:
    """What is known of a job from its files, of a cell's one for example.

    Attributes:
        rule: the workflow's.
        now: Unix time.
        attempts: earlier ones first.
        lock: of whoever holds the cell for this job.
        submission: to Slurm, if there was one.
        logs: of the job; the rule's own comes first.
    """

    def __init__(self, root: Path, rule: str, path: str, now: float) -> None:
        self.rule, self.now = rule, now
        self.attempts = read_attempts(root / "attempts" / rule / f"{path}.jsonl")
        self.lock = read_lock(root / "attempts" / rule / f"{path}.lock", now)
        self.submission = read_submission(root / "jobs" / rule / f"{path}.json")
        own = root / "logs" / rule / f"{path}.log"
        slurm = self.submission.log if self.submission else None
        self.logs = [own, Path(slurm)] if slurm else [own]
        if self.lock is None and self._open(root / rule / path):
            self.lock = self._guess(root / rule / path)

    @property
    def begun(self) -> float | None:
        """Unix time of the last start, if it is known."""
        return self.attempts[-1].started if self.attempts else None

    def queued(self) -> bool:
        """Whether a job was submitted that has not started."""
        return self.submission is not None and self.submission.waits(self.attempts)

    def _open(self, run_dir: Path) -> bool:
        """Whether something has begun of which no end is known."""
        return not self.attempts[-1].over if self.attempts else (run_dir / "manifest.json").is_file()

    def _guess(self, run_dir: Path) -> Lock:
        """Without a lock the files that a run writes are its heartbeat."""
        written = modified(self.logs[0], run_dir / "trainer_log.jsonl", run_dir / "manifest.json")
        last = self.attempts[-1] if self.attempts else Attempt(None, None, None)
        return Lock(last.host, last.slurm_job, max(0.0, self.now - max(written or 0.0, last.last_heard)))

    def with_last_words(self, outcome: str) -> str:
        """An outcome, and what the job's log says last, or Slurm's if that says nothing."""
        said = next((words for log in self.logs if (words := last_words(log))), None)
        return f"{outcome}: {said}" if said else outcome

    def came_to(self) -> tuple[Ended, str | None] | None:
        """State that the last attempt left behind, and why; None where there is nothing to go on from."""
        if self.lock is not None and self.lock.alive:
            return None
        if self.submission is not None and self.queued():
            return "queued", self.submission.pending(self.now)
        last = self.attempts[-1] if self.attempts else None
        if last is not None and last.over:
            if last.status == INTERRUPTED:
                return "interrupted", last.outcome()
            if last.status != 0:
                return "failed", last.outcome() if last.reason else self.with_last_words(last.outcome())
            return None
        return ("lost", self.lock.loss()) if self.lock is not None else None
