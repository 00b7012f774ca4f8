"""What a corpus is built from: files, folders of files, data sets on the hub."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dataflex.corpus.packed import hub, reading
from dataflex.errors import UserError

Kind = Literal["lines", "compressed", "parquet", "hub"]

_PROBE = 4096
"""Bytes at either end of a file that tell it from another one of its size."""


@dataclass(frozen=True)
class Source:
    """A file, or a data set on the hub."""

    kind: Kind
    name: str
    """Path, or name on the hub."""
    revision: str | None = None
    """Commit of a data set on the hub, so that a resumed build reads what the first one read."""

    def identity(self) -> dict[str, Any]:
        """What makes two sources the same: size, first and last bytes and name, but not the folder."""
        if self.kind == "hub":
            return {"name": self.name, "revision": self.revision}
        path = Path(self.name)
        size = path.stat().st_size
        with path.open("rb") as file:
            digest = hashlib.sha256(file.read(_PROBE))
            file.seek(max(0, size - _PROBE))
            digest.update(file.read(_PROBE))
        return {"name": path.name, "bytes": size, "ends_sha256": digest.hexdigest()}


def find_sources(names: Sequence[str]) -> list[Source]:
    """Sources by the names that a user gives: files, folders with such files below, data sets on the hub.

    Raises:
        UserError: nothing has that name, a file has another format, or a folder holds none.
    """
    found: list[Source] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.name.endswith(reading.SUFFIXES))
            if not files:
                raise UserError(f"{name} holds no file that ends in {', '.join(reading.SUFFIXES)}")
            found += [_local(file) for file in files]
        elif path.is_file():
            found.append(_local(path))
        elif hub.is_name(name):
            found.append(Source("hub", name, hub.revision_of(name)))
        else:
            raise UserError(f"{name} is no file, no folder and no data set's name (owner/name)")
    if not found:
        raise UserError("name at least one file, folder or data set")
    return found


def _local(path: Path) -> Source:
    if path.name.endswith(reading.PARQUET):
        return Source("parquet", str(path))
    if reading.compression_of(path):
        return Source("compressed", str(path))
    if path.name.endswith(reading.LINES):
        return Source("lines", str(path))
    raise UserError(f"{path} ends in none of {', '.join(reading.SUFFIXES)}")
