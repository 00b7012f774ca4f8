"""The attempts at a job: where and when it was started, how it ended, and whether its heart still beats."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataflex.watching.duration import duration
from dataflex.watching.tails import modified, number, read_object, read_objects, word

INTERRUPTED = 75
"""Exit status of a run that saved a checkpoint because it had to stop: time limit or preemption."""
STALE = 120.0
"""Seconds without a heartbeat after which a job counts as lost; it is renewed every 10."""


@dataclass(frozen=True)
class Attempt:
    """One start of a job.

    Attributes:
        started: Unix time; None where the line was not written.
        host: where it ran.
        slurm_job: id of its job in Slurm, if there is one.
        over: whether its end was recorded.
        ended: Unix time.
        status: exit status, negative for a signal.
        reason: what it said about its end.
    """

    started: float | None
    host: str | None
    slurm_job: str | None
    over: bool = False
    ended: float | None = None
    status: int | None = None
    reason: str | None = None

    @property
    def last_heard(self) -> float:
        """Unix time of the last event of this attempt."""
        return max(self.started or 0.0, self.ended or 0.0)

    def outcome(self) -> str:
        """How it ended, in a few words."""
        where = f" on {self.host}" if self.host else ""
        if not self.over:
            return f"died without a word{where}"
        if self.status == 0:
            return "ended well"
        if self.status == INTERRUPTED:
            return self.reason or f"interrupted with a checkpoint{where}"
        how = _exit(self.status) + where
        return f"{how}: {self.reason}" if self.reason else how

    def as_dict(self) -> dict[str, Any]:
        """JSON types; ``outcome`` in words."""
        return {
            "started": self.started,
            "ended": self.ended,
            "host": self.host,
            "slurm_job": self.slurm_job,
            "status": self.status,
            "outcome": self.outcome() if self.over else None,
        }


def read_attempts(file: Path) -> list[Attempt]:
    """Read the events of a job, earlier attempts first, without those at a run that was cleared away."""
    attempts: list[Attempt] = []
    for event in read_objects(file)[0]:
        if event.get("event") == "anew":
            attempts.clear()
        elif event.get("event") == "start":
            attempts.append(Attempt(number(event.get("time")), word(event.get("host")), _job(event)))
        elif event.get("event") == "end":
            begun = Attempt(None, None, None)
            if attempts and not attempts[-1].over:
                begun = attempts.pop()
            status = number(event.get("status"))
            attempts.append(
                Attempt(
                    begun.started,
                    begun.host,
                    begun.slurm_job,
                    over=True,
                    ended=number(event.get("time")),
                    status=None if status is None else int(status),
                    reason=word(event.get("reason")),
                )
            )
    return attempts


@dataclass(frozen=True)
class Lock:
    """Who holds a cell.

    Attributes:
        host: where it runs.
        slurm_job: its job in Slurm, if there is one.
        silent: seconds since its last heartbeat.
    """

    host: str | None
    slurm_job: str | None
    silent: float

    @property
    def alive(self) -> bool:
        """Whether the holder has been heard of lately."""
        return self.silent <= STALE

    def loss(self) -> str:
        """What is known of a holder that is heard of no more."""
        where = f" on {self.host}" if self.host else ""
        job = f" (job {self.slurm_job})" if self.slurm_job else ""
        return f"no heartbeat for {duration(self.silent)}{where}{job}"


def read_lock(file: Path, now: float) -> Lock | None:
    """Read the lock of a cell; its time of modification is the heartbeat."""
    beat = modified(file)
    if beat is None:
        return None
    content = read_object(file) or {}
    return Lock(word(content.get("host")), _job(content), max(0.0, now - beat))


@dataclass(frozen=True)
class Submission:
    """A job that was handed to Slurm.

    Attributes:
        slurm_job: its id.
        submitted: Unix time.
        log: Slurm's log of it.
        reason: why Slurm lets it wait, in its own word.
        since: Unix time since when it gives this reason.
    """

    slurm_job: str | None
    submitted: float
    log: str | None
    reason: str | None = None
    since: float | None = None

    def pending(self, now: float) -> str | None:
        """Why it waits and for how long, if Slurm has said so."""
        if self.reason is None:
            return None
        return self.reason + (
            f" for {duration(max(0.0, now - self.since))}" if self.since is not None else ""
        )

    def waits(self, attempts: list[Attempt]) -> bool:
        """Whether no attempt is known to be this job's."""
        if not attempts:
            return True
        own = self.slurm_job is not None and any(one.slurm_job == self.slurm_job for one in attempts)
        return not own and self.submitted >= attempts[-1].last_heard


def read_submission(file: Path) -> Submission | None:
    """Read what was noted when a job was submitted."""
    content = read_object(file)
    if content is None:
        return None
    return Submission(
        _job(content),
        number(content.get("submitted")) or 0.0,
        word(content.get("log")),
        word(content.get("pending_reason")),
        number(content.get("since")),
    )


def _job(content: dict[str, Any]) -> str | None:
    return word(content.get("slurm_job"))


def _exit(status: int | None) -> str:
    """``-9`` and a shell's ``137`` -> ``killed by SIGKILL``; ``1`` -> ``exit status 1``."""
    if status is None:
        return "ended"
    killed_by = -status if status < 0 else status - 128
    try:
        return f"killed by {signal.Signals(killed_by).name}"
    except ValueError:
        return f"exit status {status}"
