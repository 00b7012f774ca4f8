"""The lock file of a grid: of every repository its commit, and of every file its size and SHA-256.

The first time that a repository is taken, its files are written there; from then on they must be these. The
file is committed beside its grid.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dataflex.corpus.files import write_text
from dataflex.errors import UserError

SCHEMA = 1
HEAD = "# Written by `dataflex-cli assets`: commit it. What is taken later must be these very files.\n"


@dataclass(frozen=True)
class File:
    """Size and SHA-256 of a file."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Entry:
    """A repository as it was taken first."""

    revision: str | None
    """Its commit; None where a mirror did not tell and the grid names none."""
    files: Mapping[str, File]
    asked: str | None = None
    """The revision that the grid asked for, where nobody told theirs; older entries do not note it."""

    @property
    def bytes(self) -> int:
        """Of all files together."""
        return sum(file.bytes for file in self.files.values())

    def as_dict(self) -> dict[str, Any]:
        """Types of YAML and JSON; `from_dict` reads them."""
        files = {
            name: {"bytes": file.bytes, "sha256": file.sha256} for name, file in sorted(self.files.items())
        }
        asked = {} if self.asked is None else {"asked": self.asked}
        return {"revision": self.revision, **asked, "files": files}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Entry:
        """Read what `as_dict` made."""
        files = {name: File(**file) for name, file in values["files"].items()}
        return cls(values["revision"], files, values.get("asked"))


def beside(grid_file: Path) -> Path:
    """Lock file of a grid: ``paper.lock.yaml`` beside ``paper.yaml``."""
    return grid_file.with_suffix(".lock.yaml")


def read_lock(path: Path) -> dict[str, Entry]:
    """Entries by ``models/...`` and ``datasets/...``; none where there is no file yet.

    Raises:
        UserError: the file is damaged or of another version.
    """
    if not path.is_file():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise UserError(
                f"{path} has schema {content['schema']}, this version reads {SCHEMA}: write it again"
            )
        return {name: Entry.from_dict(values) for name, values in content["assets"].items()}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"{path} is no lock file, or it is damaged: take it from version control again, or remove it to "
            "lock anew"
        ) from None


def put(path: Path, name: str, entry: Entry) -> None:
    """Write or replace one entry; others that are written at the same time are kept."""
    with _alone(path):
        entries = {**read_lock(path), name: entry}
        content = {"schema": SCHEMA, "assets": {key: entries[key].as_dict() for key in sorted(entries)}}
        write_text(path, HEAD + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=200))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock file's folder, which leaves nothing behind; the file itself is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
