"""A folder belongs to one build: to its options, and to one process at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dataflex.corpus.packed.durable import read_json, write_json
from dataflex.errors import UserError

OPTIONS = "build.json"
_LOCK = ".lock"


@contextmanager
def claimed(folder: Path, options: Mapping[str, Any]) -> Iterator[None]:
    """Hold a folder for a build with these options; a new folder is marked with them.

    The lock goes with the process, so that a killed build leaves none.

    Raises:
        UserError: another process builds there, the folder holds something else, or it was begun with other
            options, which are named.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; choose another --output")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another process is building {folder}: wait for it or end it") from None
        # What a killed build was writing.
        for unfinished in folder.rglob(".*.tmp"):
            unfinished.unlink(missing_ok=True)
        begun = folder / OPTIONS
        if begun.is_file():
            _refuse_others(folder, read_json(begun), options)
        else:
            if any(path.name != _LOCK for path in folder.iterdir()):
                raise UserError(f"{folder} exists and is not empty; choose another --output or remove it")
            write_json(begun, dict(options))
        yield


def _refuse_others(folder: Path, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    for key in {**ours, **theirs}:
        if theirs.get(key) == ours.get(key):
            continue
        if key == "sources":
            what = f"other sources ({_difference(theirs.get(key) or [], ours[key])})"
        elif key in ("vocabulary", "whole"):
            what = f"another {'tokenizer' if key == 'vocabulary' else 'corpus'}"
        else:
            what = f"{key.replace('_', ' ')} {theirs.get(key)}, not {ours.get(key)}"
        raise UserError(
            f"{folder} was begun with {what}: give the same again to go on, or choose another --output"
        )


def _difference(theirs: list[dict[str, Any]], ours: list[dict[str, Any]]) -> str:
    if len(theirs) != len(ours):
        return f"{len(theirs)} of them, not {len(ours)}"
    one = next((a, b) for a, b in zip(theirs, ours, strict=True) if a != b)
    names = [entry["name"] for entry in one]
    return f"{names[0]} has changed" if names[0] == names[1] else f"{names[0]}, not {names[1]}"
