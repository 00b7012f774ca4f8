"""Get a run directory ready before training: keep it for a resume, or clear it when its recipe has changed.

LLaMA-Factory resumes from any checkpoint that it finds in the run directory. That is wanted after a crash and
wrong after a change of the config, of the corpus or of the starting model. So a stamp beside the directory
records what the run was started with; another stamp clears the directory.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path


def stamp_of(config: Path, inputs: Iterable[Path]) -> str:
    """SHA-256 over the config and the sentinels of everything that the run builds on."""
    digest = hashlib.sha256()
    for file in [config, *inputs]:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def is_stamped(folder: Path, stamp: str) -> bool:
    """Whether the run in ``folder`` was started with this stamp."""
    file = folder.with_name(folder.name + ".stamp")
    return file.is_file() and file.read_text().strip() == stamp


def write_stamp(file: Path, stamp: str) -> None:
    """Write a stamp, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(file.name + ".tmp")
    temporary.write_text(stamp + "\n")
    os.replace(temporary, file)


def remove(place: Path) -> None:
    """Remove a folder with what is in it, a file, or a link without what it points to."""
    if place.is_symlink() or place.is_file():
        place.unlink()
    elif place.exists():
        shutil.rmtree(place)


def prepare(folder: Path, stamp: str) -> bool:
    """Make ``folder`` fit for a run with this stamp; True when an earlier, different run was cleared away."""
    stamp_file = folder.with_name(folder.name + ".stamp")
    cleared = folder.exists() and not is_stamped(folder, stamp)
    if cleared:
        remove(folder)
    write_stamp(stamp_file, stamp)
    return cleared
