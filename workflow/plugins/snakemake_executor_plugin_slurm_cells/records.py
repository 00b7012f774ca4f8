"""What is written beside a job's log: the Slurm job that was submitted for it, and how its attempts ended.

Records let a workflow that was killed find its jobs again when it is started anew, and tell apart a run that
made progress before it ended from one that failed.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataflex.errors import UnfitError
from dataflex.watching.progress import last_checkpoint

INTERRUPTED = 75
"""Exit status of a command that stopped with a checkpoint and wants to go on (EX_TEMPFAIL)."""
SLOW = 10.0
"""Seconds after which the answer of a file server says nothing about who writes there."""
MEMORY, TIME = "mem_mb", "runtime"
"""Resources of which a job can have too little."""


def place(log: str | None, kind: str, suffix: str) -> Path | None:
    """``<root>/logs/train/x.log`` -> ``<root>/<kind>/train/x<suffix>``; None for a job without such a log."""
    parts = Path(log).parts if log else ()
    if "logs" not in parts:
        return None
    at = len(parts) - 1 - parts[::-1].index("logs")
    return Path(*parts[:at], kind, *parts[at + 1 :]).with_suffix(suffix)


def write(
    file: Path,
    job: str,
    name: str,
    log: str,
    digest: str,
    begins: tuple[int, int] = (0, 0),
    asks: Mapping[str, Any] | None = None,
) -> None:
    """Record the Slurm job that was submitted.

    Args:
        name: of the job in Slurm; its number alone may be another cluster's, or come again.
        digest: of what the job does, and to what: another one is another job.
        begins: how far its run had come before, see ``reached``.
        asks: its resources; those that can be too little are kept, see ``ended``.
    """
    before = read(file) or {}
    short = before.get("too_little", {}) if before.get("digest") == digest else {}
    had = {name: asks[name] for name in (MEMORY, TIME) if asks and name in asks}
    submitted = {"slurm_job": job, "name": name, "submitted": round(time.time()), "log": log}
    _replace(file, {**submitted, "digest": digest, "begins": begins, "asks": had, "too_little": short})


def waits(file: Path, reason: str | None) -> None:
    """Record why the job waits in the queue, and since when for that; None: it waits no longer."""
    if (before := read(file)) is None or before.get("pending_reason") == reason:
        return
    submitted = file.stat()
    since = round(time.time()) if reason else None
    _replace(file, {**before, "pending_reason": reason, "since": since})
    # The record is as old as the submission: what the job has made is younger.
    os.utime(file, ns=(submitted.st_atime_ns, submitted.st_mtime_ns))


def ended(file: Path, *, out_of_memory: bool, out_of_time: bool) -> None:
    """Record that the job is no more, and what it had of that which was too little.

    An amount and no count: it stays true when the grid asks for another one.
    """
    before = read(file) or {}
    ran_out = {name for name, out in ((MEMORY, out_of_memory), (TIME, out_of_time)) if out}
    short = {name: had for name, had in before.get("asks", {}).items() if name in ran_out}
    too_little = {**before.get("too_little", {}), **short}
    waits_no_longer = {"pending_reason": None, "since": None}
    _replace(file, {**before, "slurm_job": None, "too_little": too_little, **waits_no_longer})


def _replace(file: Path, content: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content) + "\n")
    os.replace(temporary, file)


def read(file: Path) -> dict[str, Any] | None:
    """The record, None if there is none that can be read."""
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def silence(attempts: Path | None) -> float | None:
    """Seconds since the last event of a cell's attempts or beat of its lock; None if it never gave any.

    Raises:
        OSError: the files can't be looked at.
    """
    if attempts is None or not attempts.is_file():
        return None
    return _age(attempts, attempts, attempts.with_suffix(".lock"))


def beats(attempts: Path | None, patience: float) -> bool:
    """Whether a job's lock is held by something that has given a sign of life in the last seconds.

    Raises:
        OSError: the files can't be looked at.
    """
    if attempts is None or not (lock := attempts.with_suffix(".lock")).is_file():
        return False
    age = _age(attempts, lock)
    return age is not None and age < patience


def _age(beside: Path, *files: Path) -> float | None:
    began = time.monotonic()
    signs = []
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            signs.append(file.stat().st_mtime)
    if not signs:
        return None
    # All times are the file server's: this host's clock may differ.
    probe = beside.with_name(f".{beside.name}.{os.getpid()}.now")
    probe.touch()
    now = probe.stat().st_mtime
    probe.unlink()
    if (took := time.monotonic() - began) > SLOW:
        # Writers were kept waiting as long, and could give no sign.
        raise OSError(f"{beside.parent} has not answered for {took:.0f} s")
    return now - max(signs)


def reached(attempts: Path | None, folder: Path | None) -> tuple[int, int]:
    """How far a job has come: how often it was cleared away, and the step of its run's last whole checkpoint.

    A job that trains nothing says at the end of its attempts how much of it is done.

    Args:
        attempts: file of its attempts.
        folder: run directory.
    """
    anew = done = 0
    for event in _events(attempts):
        if event.get("event") == "anew":
            anew, done = anew + 1, 0
        elif event.get("event") == "end":
            done = event.get("checkpoint") or done
    # An attempt that was killed has told nothing of its checkpoints: those that are there count first.
    return anew, (last_checkpoint(folder) if folder else None) or done


def has_progressed(begins: Any, now: tuple[int, int]) -> bool:
    """Whether a run has made a checkpoint beyond those that it began with, as the record tells."""
    known = isinstance(begins, list) and [type(part) for part in begins] == [int, int]
    return known and now[1] > 0 and list(now) > begins


def _events(file: Path | None) -> list[dict[str, Any]]:
    try:
        lines = file.read_text(errors="replace").splitlines() if file else []
    except OSError:
        return []
    events = []
    for line in lines:
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            continue  # half written by an attempt that was killed
    return events


def ends(file: Path | None) -> list[dict[str, Any]]:
    """How the attempts ended; nothing if the last one was killed without a word."""
    events: list[dict[str, Any]] = []
    for event in _events(file):
        # What was done to another config says nothing of this one.
        events = [] if event.get("event") == "anew" else [*events, event]
    killed = bool(events) and events[-1].get("event") != "end"
    return [] if killed else [event for event in events if event.get("event") == "end"]


def is_unfit(attempts: Path | None, job: str) -> bool:
    """Whether a job's own last attempt, and not an earlier job's, has found what it looked at unfit."""
    events = _events(attempts)
    begun = [event for event in events if event.get("event") == "start"]
    own = bool(begun) and begun[-1].get("slurm_job") == job
    return own and events[-1].get("event") == "end" and events[-1].get("status") == UnfitError.status


def goes_on(ended: list[dict[str, Any]]) -> bool:
    """Whether the last attempt was interrupted, with a checkpoint beyond that of the interruption before."""
    reached = [end.get("checkpoint") or 0 for end in ended if end.get("status") == INTERRUPTED]
    interrupted = bool(ended) and ended[-1].get("status") == INTERRUPTED
    return interrupted and (len(reached) < 2 or reached[-1] > reached[-2])
