"""What a result is called: the hash of what it holds."""

from __future__ import annotations

import hashlib

from dataflex.evidence.results import CellResult


def result_id(result: CellResult) -> str:
    """SHA-256, as 64 hexadecimal digits, over the digests and names of a result's files, sorted by name.

    The format that is hashed is that of ``sha256sum``, so that ``sha256sum FILES | sha256sum`` in the cell's
    folder, the files in the order of their names, gives the same.
    """
    lines = (
        f"{hashlib.sha256((result.folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in sorted(result.files)
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()
