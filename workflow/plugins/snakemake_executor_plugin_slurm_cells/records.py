"""What is written beside a job's log: the Slurm job that was submitted for it, and how its attempts ended.

Records let a workflow that was killed find its jobs again when it is started anew, and tell apart a run that
was interrupted with a checkpoint from one that failed.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

INTERRUPTED = 75
"""Exit status of a command that stopped with a checkpoint and wants to go on (EX_TEMPFAIL)."""


def place(log: str | None, kind: str, suffix: str) -> Path | None:
    """``<root>/logs/train/x.log`` -> ``<root>/<kind>/train/x<suffix>``; None for a job without such a log."""
    parts = Path(log).parts if log else ()
    if "logs" not in parts:
        return None
    at = len(parts) - 1 - parts[::-1].index("logs")
    return Path(*parts[:at], kind, *parts[at + 1 :]).with_suffix(suffix)


def write(file: Path, job: str, log: str) -> None:
    """Record the Slurm job that was submitted."""
    submitted = {"slurm_job": job, "submitted": round(time.time()), "log": log}
    _replace(file, {**(read(file) or {}), **submitted})


def ran_out_of_memory(file: Path) -> None:
    """Record that the job wanted more memory than it had: the workflow asks for more the next time."""
    before = read(file) or {}
    _replace(file, {**before, "out_of_memory": before.get("out_of_memory", 0) + 1})


def _replace(file: Path, content: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content) + "\n")
    os.replace(temporary, file)


def read(file: Path) -> dict[str, Any] | None:
    """The record, None if there is none that can be read."""
    try:
        content = json.loads(file.read_text())
    except (OSError, json.JSONDecodeError):
        return None
    return content if isinstance(content, dict) and content.get("slurm_job") else None


def last_sign(attempts: Path | None) -> float | None:
    """Unix time of the last event of a cell's attempts or beat of its lock; None if it never gave any."""
    if attempts is None or not attempts.is_file():
        return None
    signs = [attempts.stat().st_mtime]
    with contextlib.suppress(FileNotFoundError):
        signs.append(attempts.with_suffix(".lock").stat().st_mtime)
    return max(signs)


def ends(file: Path | None) -> list[dict[str, Any]]:
    """How the attempts ended; nothing if the last one was killed without a word."""
    try:
        lines = file.read_text().splitlines() if file else []
    except OSError:
        return []
    events = []
    for line in lines:
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            continue  # half written by an attempt that was killed
    killed = bool(events) and events[-1].get("event") != "end"
    return [] if killed else [event for event in events if event.get("event") == "end"]


def goes_on(ended: list[dict[str, Any]]) -> bool:
    """Whether the last attempt was interrupted, with a checkpoint beyond that of the interruption before."""
    reached = [end.get("checkpoint") or 0 for end in ended if end.get("status") == INTERRUPTED]
    interrupted = bool(ended) and ended[-1].get("status") == INTERRUPTED
    return interrupted and (len(reached) < 2 or reached[-1] > reached[-2])
