"""What the files of a cell tell of Snakemake's job for it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from snakemake_executor_plugin_slurm_cells import records

SENTINEL = re.compile(r"\.(done|ready)\.json$")
"""Outputs that are written last, and whole or not at all."""


def text_of(file: str) -> str:
    """A log; nothing if it can't be read."""
    try:
        return Path(file).read_text(errors="replace")
    except OSError:
        return ""


def has_succeeded(job: Any, *, forgotten: bool) -> bool:
    """Whether all outputs are there, none older than the job's submission, and whole as far as that is known.

    Args:
        forgotten: nobody says how the job ended: its outputs alone tell.
    """
    file = place(job, "jobs", ".json")
    if file is None or not file.is_file():
        return False
    submitted = file.stat().st_mtime
    outputs = [Path(str(output)) for output in job.output]
    if not outputs or not all(output.exists() and output.stat().st_mtime >= submitted for output in outputs):
        return False
    if all(SENTINEL.search(output.name) for output in outputs):
        return all(records.read(output) is not None for output in outputs)
    ended = records.ends(place(job, "attempts", ".jsonl"))
    return forgotten or (bool(ended) and ended[-1].get("status") == 0)


def reached(job: Any) -> tuple[int, int]:
    """How far a job's run has come."""
    return records.reached(place(job, "attempts", ".jsonl"), place(job, "", ""))


def place(job: Any, kind: str, suffix: str) -> Path | None:
    """Where something is kept of a job, see ``records.place``."""
    logs = list(getattr(job, "log", None) or [])
    return records.place(str(logs[0]), kind, suffix) if logs else None
