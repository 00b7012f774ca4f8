"""What a result is called: a hash of its content, so that a number can be cited and stays what it was."""

from __future__ import annotations

import hashlib

from dataflex.evidence.results import CellResult

SHOWN = 12
"""Hexadecimal digits of an id that people see."""


def result_id(result: CellResult) -> str:
    """SHA-256 over the lines ``<sha256 of file>  <name>`` of the result's files, sorted by name."""
    lines = (
        f"{hashlib.sha256((result.folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in sorted(result.files)
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def short(identity: str) -> str:
    """An id as it is shown."""
    return identity[:SHOWN]
