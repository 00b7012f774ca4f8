"""What a workflow was asked for on its command line, as it notes it in its folder when it begins."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NOTE = "grid.json"
TARGETS = ("trained", "evaluated", "by_step", "benchmarks")
"""Cells by path and benchmarks by name, under ``asked`` of the note."""


def read_note(root: Path) -> dict[str, Any] | None:
    """The note in a rung's folder: grid file, seeds, part and targets; None if it is missing or is none."""
    try:
        content = json.loads((root / NOTE).read_text(errors="replace"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def targets_of(note: Mapping[str, Any] | None) -> dict[str, list[str]] | None:
    """What the targets of a note were; None where it does not say, and all of its part was asked for."""
    asked = (note or {}).get("asked")
    if not isinstance(asked, dict):
        return None
    found = {key: asked.get(key) for key in TARGETS}
    return {
        key: [str(name) for name in names] if isinstance(names, list) else [] for key, names in found.items()
    }
