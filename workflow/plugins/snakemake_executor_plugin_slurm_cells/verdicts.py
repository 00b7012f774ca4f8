"""What Slurm's words about a job mean for the cell that it trains; pure functions."""

from __future__ import annotations

import errno
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

ALIVE = {
    "PENDING",
    "RUNNING",
    "CONFIGURING",
    "COMPLETING",
    "SUSPENDED",
    "STOPPED",
    "REQUEUED",
    "REQUEUE_FED",
    "RESIZING",
    "SIGNALING",
    "STAGE_OUT",
}
RETURNING = {"PREEMPTED", "NODE_FAIL", "BOOT_FAIL"}
"""Ends after which Slurm puts a job back into the queue, under the same number, if it was asked to."""
HELD = ("launch failed requeued held", "JobHeldAdmin", "job requeued in held state")
"""Reasons of a job that waits for an administrator and for nothing else."""
PERMANENT = re.compile(
    r"invalid (account|partition|qos|feature|generic resource|number|node|job|time limit)|"
    r"appears to be invalid|time limit is invalid|memory specification can not be satisfied|"
    r"cpu count per node can not be satisfied|more processors requested than permitted|"
    r"not permitted to use|access/permission denied|unrecognized option|"
    r"requested node configuration is not available|required (node|partition) not|"
    r"sbatch: (command )?not found",
    re.IGNORECASE,
)
"""Refusals that waiting does not mend."""
PASSING = re.compile(
    r"unable to test the validity|slurm job submission failed|slurm job ids? found", re.IGNORECASE
)
"""What Snakemake's executor raises when Slurm did not answer, or not in words that it understood."""
BROKEN = (FileNotFoundError, NotADirectoryError, PermissionError)

MEMORY = re.compile(r"exceeded (job |step )?memory limit|oom[-_ ]kill", re.IGNORECASE)


class Verdict(Enum):
    """What is to be done about a job."""

    WAIT = auto()
    SUCCEEDED = auto()
    FAILED = auto()
    STUCK = auto()
    """It will not run by itself: cancel it, and call it failed."""
    VANISHED = auto()
    """Nobody knows of it: what it left tells."""


@dataclass(frozen=True)
class Said:
    """What Slurm says of a job: its state (``CANCELLED by 0`` is ``CANCELLED``), why, name, comment."""

    state: str
    reason: str = ""
    name: str = ""
    comment: str = ""

    @property
    def word(self) -> str:
        """The state's first word."""
        return self.state.split()[0].rstrip("+") if self.state.strip() else ""


def verdict(queue: Said | None, accounts: Said | None, silent: float, patience: float) -> Verdict:
    """What is to be done about a job.

    The queue knows what is alive and remembers an end for some minutes; the accounts remember for long, but
    may lag behind, be empty, or not be kept at all. The queue's word counts first.

    Args:
        queue: squeue's word, None if it does not know the job.
        accounts: sacct's word, None if it does not know the job.
        silent: seconds since which neither knew the job to be alive or to have ended for good.
        patience: seconds for which a job may be silent: to return to the queue after its node was lost, or to
            be known at all.
    """
    said = next((one for one in (queue, accounts) if one is not None and one.word != "UNKNOWN"), None)
    if said is None:
        return Verdict.WAIT if silent < patience else Verdict.VANISHED
    if said.word == "COMPLETED":
        return Verdict.SUCCEEDED
    if said.word in ALIVE:
        # The accounts may call a job alive that the queue forgot with a crash of its controller.
        if said is accounts and silent >= patience:
            return Verdict.VANISHED
        return Verdict.STUCK if said.reason.startswith(HELD) else Verdict.WAIT
    if said.word in RETURNING:
        return Verdict.WAIT if silent < patience else Verdict.FAILED
    if said.word in ("REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"):
        return Verdict.STUCK
    return Verdict.FAILED


def settled(queue: Said | None) -> bool:
    """Whether the queue itself knows the job to be alive or to have ended for good: it is not silent."""
    return queue is not None and queue.word != "UNKNOWN" and queue.word not in RETURNING


def is_alive(said: Said) -> bool:
    """Whether a job waits or runs, and is not at its end already."""
    return said.word in ALIVE and said.word != "COMPLETING"


def is_permanent(refusal: str, error: BaseException | None = None) -> bool:
    """Whether a submission would fail again however long one waits.

    Args:
        refusal: what was said.
        error: that was raised in submitting: an exit status of ``sbatch``, or what kept it from being called.
    """
    if PERMANENT.search(refusal):
        return True
    if error is None or isinstance(error, subprocess.SubprocessError):
        return False
    if isinstance(error, OSError):
        return isinstance(error, BROKEN) or error.errno == errno.E2BIG
    return PASSING.search(refusal) is None


def was_memory(said: Said | None, log: str) -> bool:
    """Whether a job ended for want of memory: by its state, or by what Slurm's daemon wrote into its log."""
    return (said is not None and said.word == "OUT_OF_MEMORY") or MEMORY.search(log) is not None


def parse(lines: str) -> dict[str, Said]:
    """Job id -> what was said, from lines of ``id|state|name|reason|comment``; ``id_task`` in an array."""
    found: dict[str, Said] = {}
    for line in lines.splitlines():
        job, *words = line.strip().split("|", 4)
        if job and len(words) >= 3:
            state, name, reason, *comment = words
            found[job] = Said(state.strip(), reason.strip("() "), name.strip(), "".join(comment).strip())
    return found


def word_about(job: str, words: Mapping[str, Said]) -> Said | None:
    """What was said of a job; of an array's task also what was said of the whole array."""
    return words.get(job) or words.get(job.partition("_")[0])
