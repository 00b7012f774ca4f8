"""A folder that stands in for the hub: ``<mirror>/models/<org>/<name>``, ``<mirror>/datasets/<org>/<name>``.

``hf download ORG/NAME --revision COMMIT --local-dir MIRROR/models/ORG/NAME`` fills it and notes each file's
commit beside the files, where it is read from here. The client's own cache (``HF_HOME/hub``) serves as well:
there a folder's name is the commit.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from dataflex.errors import UserError
from dataflex.grid import Asset

VARIABLE = "DATAFLEX_MIRROR"
_SNAPSHOTS = "snapshots"
_NOTES = Path(".cache/huggingface/download")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def mirror_named(option: str | None, environment: Mapping[str, str]) -> Path | None:
    """The mirror that the configuration or, without one there, the environment names.

    Raises:
        UserError: it is no folder.
    """
    name = option or environment.get(VARIABLE)
    if not name:
        return None
    if not Path(name).is_dir():
        raise UserError(
            f"the mirror {name} is no folder: correct assets.mirror, or {VARIABLE} in the environment"
        )
    return Path(name)


def place_of(asset: Asset, mirror: Path, wanted: str | None) -> Path | None:
    """Where a mirror holds a repository; None if it doesn't.

    Args:
        asset: the repository.
        mirror: the folder.
        wanted: the commit; None takes what a cache of the hub's client has as ``main``.
    """
    if (plain := mirror / asset.name).is_dir():
        return plain
    cached = mirror / f"{asset.kind}--{asset.repo.replace('/', '--')}"
    main = cached / "refs" / "main"
    commit = wanted or (main.read_text(encoding="utf-8").strip() if main.is_file() else None)
    found = cached / _SNAPSHOTS / commit if commit else None
    return found if found and found.is_dir() else None


def names_in(folder: Path) -> list[str]:
    """Files below a folder, as paths within it."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def commit_noted(folder: Path, names: Iterable[str]) -> str | None:
    """The commit that the hub's client noted for these files; None where it noted none.

    Raises:
        UserError: the files are of several commits.
    """
    if folder.parent.name == _SNAPSHOTS and _COMMIT.fullmatch(folder.name):
        return folder.name
    commits: dict[str, str] = {}
    for name in names:
        note = folder / _NOTES / f"{name}.metadata"
        if note.is_file() and _COMMIT.fullmatch(
            first := note.read_text(encoding="utf-8").split("\n", 1)[0].strip()
        ):
            commits.setdefault(first, name)
    if len(commits) > 1:
        (one, first_name), (other, other_name) = list(commits.items())[:2]
        raise UserError(
            f"{folder} mixes commits: {first_name} is of {one}, {other_name} of {other}; fill it anew with "
            "one --revision"
        )
    return next(iter(commits), None)


def link(source: Path, names: Iterable[str], folder: Path, asset: Asset) -> None:
    """Make a folder of links to these files and no others, so that nothing else of the mirror is loaded.

    Raises:
        UserError: the folder can't be made.
    """
    try:
        shutil.rmtree(folder, ignore_errors=True)
        for name in names:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            os.symlink((source / name).resolve(), target)
    except OSError as error:
        raise UserError(
            f"{asset.name}: links to the mirror can't be made in {folder}: {error.strerror}"
        ) from None
