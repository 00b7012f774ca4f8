"""SHA-256 digests of reviewed results, in the format of ``sha256sum``."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from dataflex.errors import UserError

NAME = "SHA256SUMS"


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every result file below ``folder``, by its path there."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != NAME)
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files
    }


def lines(of: Mapping[str, str]) -> str:
    """Digests by name as ``sha256sum`` prints them."""
    return "".join(f"{digest}  {name}\n" for name, digest in of.items())


def combined(of: Mapping[str, str]) -> str:
    """One SHA-256 of several files, given theirs by name: that of their lines, sorted by name."""
    return hashlib.sha256(lines(dict(sorted(of.items()))).encode()).hexdigest()


def write(folder: Path) -> None:
    """Record the digests of all files below ``folder`` in its ``SHA256SUMS``."""
    text = lines(digests(folder))
    temporary = folder / (NAME + ".tmp")
    temporary.write_text(text)
    os.replace(temporary, folder / NAME)


def changed(folder: Path) -> list[str]:
    """Files that differ from the record, are missing, or are not recorded.

    Raises:
        UserError: there is no record, or it is malformed.
    """
    record = folder / NAME
    if not record.is_file():
        raise UserError(f"{record} is missing: reviewed results carry their digests")
    recorded = {}
    for number, line in enumerate(record.read_text().splitlines(), start=1):
        digest, gap, name = line.partition("  ")
        if len(digest) != 64 or not gap or not name:
            raise UserError(f"{record}, line {number}: expected a SHA-256 digest, two spaces and a file name")
        recorded[name] = digest
    present = digests(folder)
    return sorted(
        name for name in recorded.keys() | present.keys() if recorded.get(name) != present.get(name)
    )
