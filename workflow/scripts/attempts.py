"""The attempts at a job, one JSON line an event: who began it when, and how it ended."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from lock import identity


def began(file: Path) -> None:
    """Note that this process begins an attempt."""
    attempt = 1 + sum(event.get("event") == "start" for event in read(file))
    _append(file, {"event": "start", "time": round(time.time(), 1), **identity(), "attempt": attempt})


def ended(file: Path, status: int, reason: str | None, checkpoint: int | None = None) -> None:
    """Note how the attempt ended.

    Args:
        status: exit status, negative for a signal.
        reason: one line.
        checkpoint: how far it has come, as it goes on from there: of a training its last checkpoint's step.
    """
    event = {"event": "end", "time": round(time.time(), 1), "pid": os.getpid()}
    event |= {"status": status, "reason": reason}
    _append(file, {**event, "checkpoint": checkpoint})


def anew(file: Path) -> None:
    """Note that the run was cleared away: what came before was another one."""
    _append(file, {"event": "anew", "time": round(time.time(), 1)})


def read(file: Path) -> list[dict[str, Any]]:
    """All events; a line that a kill left half written is passed over."""
    events = []
    for line in file.read_text().splitlines() if file.is_file() else ():
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return events


def _append(file: Path, event: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab+") as stream:
        # What a kill left half written must not swallow this line.
        torn = stream.tell() > 0 and (stream.seek(-1, os.SEEK_END), stream.read(1))[1] != b"\n"
        stream.write(b"\n" * torn + json.dumps(event).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
