"""Files that others are writing, or were when they died: read from the end, and never an exception."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

TAIL = 64 * 1024
"""Bytes that are read of a file that grows with its run."""
COMPLAINTS = ("error:", "dataflex-cli:")
"""How the lines begin in which a job's scripts and ``dataflex-cli`` say what is wrong."""


def read_object(file: Path) -> dict[str, Any] | None:
    """Return the JSON object in a file; None if it is missing or is none."""
    try:
        value = json.loads(file.read_text(errors="replace"))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def read_objects(file: Path, last_bytes: int | None = None) -> tuple[list[dict[str, Any]], bool]:
    """Read the JSON objects of a file with one a line; lines that are none are passed over.

    Args:
        file: it may be missing, and end in the middle of a line.
        last_bytes: read no more than this of its end; None reads all.

    Returns:
        The objects, and whether they are all that the file holds.
    """
    text, whole = _end(file, last_bytes)
    found = []
    for line in text.split("\n"):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found, whole


def last_words(log: Path) -> str | None:
    """Return the last line of a log that says what is wrong, or else its last line that is not empty."""
    return complaint(log) or next(reversed(_lines(log)), None)


def complaint(log: Path) -> str | None:
    """Return the last line of a log that says what is wrong; None if none does."""
    return next((line for line in reversed(_lines(log)) if line.startswith(COMPLAINTS)), None)


def _lines(log: Path) -> list[str]:
    text, _ = _end(log, TAIL)
    # A progress bar goes back to the start of its line instead of beginning another.
    lines = text.replace("\r", "\n").replace("\t", " ").split("\n")
    shown = ("".join(letter for letter in line if letter.isprintable()).strip() for line in lines)
    return [line for line in shown if line]


def modified(*files: Path) -> float | None:
    """Return when the latest of these files was written, in Unix time; None if there is none."""
    times = []
    for file in files:
        try:
            times.append(file.stat().st_mtime)
        except OSError:
            continue
    return max(times, default=None)


def number(value: Any) -> float | None:
    """Return a finite number as it is, anything else as None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def word(value: Any) -> str | None:
    """Return a string or an integer as a string, anything else as None."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def _end(file: Path, last_bytes: int | None) -> tuple[str, bool]:
    """The end of a file from the first whole line on, and whether that is all of it."""
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, 2)
            begin = 0 if last_bytes is None else max(0, size - last_bytes)
            stream.seek(begin)
            # No further than it was long a moment ago: a log may grow faster than it is read.
            content = stream.read(size - begin)
    except OSError:
        return "", True
    text = content.decode(errors="replace")
    return (text, True) if begin == 0 else (text.partition("\n")[2], False)
