"""Files of a folder measured, and held against what they should be: sizes first, then SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from dataflex.assets.lock import File
from dataflex.errors import UserError

_BLOCK = 2**22


def measure(folder: Path, names: Iterable[str], *, quiet: bool = False) -> dict[str, File]:
    """Size and SHA-256 of some files of a folder, by name; reads them whole.

    Raises:
        UserError: one can't be read.
    """
    found = {}
    wanted = list(names)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    try:
        with Progress(*columns, disable=quiet) as progress:
            total = sum((folder / name).stat().st_size for name in wanted)
            task = progress.add_task(f"checksums of {folder.name}", total=total)
            for name in wanted:
                digest, size = hashlib.sha256(), 0
                with (folder / name).open("rb") as file:
                    while block := file.read(_BLOCK):
                        digest.update(block)
                        size += len(block)
                        progress.advance(task, len(block))
                found[name] = File(size, digest.hexdigest())
    except OSError as error:
        raise UserError(f"{error.filename} can't be read: {error.strerror}") from None
    return found


def sizes_differ(folder: Path, files: Mapping[str, File]) -> str | None:
    """The first file that is missing or has another size than it should, in words; None if all are right."""
    for name, file in files.items():
        path = folder / name
        if not path.is_file():
            return f"{path} is missing"
        if path.stat().st_size != file.bytes:
            return f"{path} has {path.stat().st_size} bytes, not {file.bytes}"
    return None


def contents_differ(found: Mapping[str, File], files: Mapping[str, File], folder: Path) -> str | None:
    """The first file whose SHA-256 is another than it should be, in words; None if all are right."""
    for name, file in files.items():
        if found[name].sha256 != file.sha256:
            return f"{folder / name} has SHA-256 {found[name].sha256}, not {file.sha256}"
    return None


def differ(folder: Path, files: Mapping[str, File], *, quiet: bool = False) -> str | None:
    """What of a folder is not as it should be, in words; nothing is read whole if a size is wrong."""
    return sizes_differ(folder, files) or contents_differ(measure(folder, files, quiet=quiet), files, folder)
