"""A folder that stands in for the hub: ``<mirror>/models/<org>/<name>``, ``<mirror>/datasets/<org>/<name>``.

``hf download ORG/NAME --revision COMMIT --local-dir MIRROR/models/ORG/NAME`` fills it and notes each file's
commit beside the files, where it is read from here. The client's own cache (``HF_HOME/hub``) serves as well:
there a folder's name is the commit.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path

from dataflex.assets.choice import INTERNAL
from dataflex.errors import UserError
from dataflex.grid import Asset

VARIABLE = "DATAFLEX_MIRROR"
NOTES = Path(".cache/huggingface/download")
"""Where the hub's client keeps what it knows of a folder's files."""
_SNAPSHOTS = "snapshots"
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


def is_snapshot(folder: Path) -> bool:
    """Whether a folder is one of the client's own cache, which holds what was asked for, perhaps not all."""
    return folder.parent.name == _SNAPSHOTS and _COMMIT.fullmatch(folder.name) is not None


def commit_noted(folder: Path, names: Iterable[str]) -> str | None:
    """The commit that the hub's client noted for these files; None where it noted none.

    Raises:
        UserError: the files are of several commits.
    """
    if is_snapshot(folder):
        return folder.name
    commits: dict[str, str] = {}
    for name in names:
        note = folder / NOTES / f"{name}.metadata"
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


def own_names(folder: Path) -> set[str]:
    """Files below a folder, as paths within it, without what the hub's client keeps beside them."""
    return {name for name in names_in(folder) if not name.startswith(INTERNAL)}


def is_same(source: Path, folder: Path) -> bool:
    """Whether two paths lead to one folder."""
    return folder.is_dir() and os.path.samefile(source, folder)


def is_cache(source: Path, names: Iterable[str], folder: Path) -> bool:
    """Whether a mirror's folder is this one of the cache under another name, or links to its files alone."""
    wanted = set(names)
    return is_same(source, folder) or (
        wanted == own_names(folder)
        and all(os.path.samefile(source / name, folder / name) for name in wanted)
        and all(_inside((source / name).resolve(), folder) for name in wanted)
    )


def _inside(file: Path, folder: Path) -> bool:
    return folder.is_dir() and any(os.path.samefile(above, folder) for above in file.parents)


def link(source: Path, names: Iterable[str], folder: Path, asset: Asset) -> None:
    """Make a folder of links to these files and no others, so that nothing else of the mirror is loaded.

    It is made beside the one that it takes the place of, which stays as it is if anything goes wrong.

    Raises:
        UserError: the folder can't be made, or a file of the mirror is one of that folder's own.
    """
    targets = {name: (source / name).resolve() for name in names}
    # The file would be removed with the folder, and its link would lead to itself.
    if own := next((name for name, target in targets.items() if _inside(target, folder)), None):
        raise UserError(
            f"{source / own} leads into the cache, to {targets[own]}, where links to the mirror are to be: "
            "put the file itself into the mirror, or name another mirror"
        )
    new = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.new")
    try:
        for name, target in targets.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            os.symlink(target, new / name)
        _swap(new, folder)
    except OSError as error:
        raise UserError(
            f"{asset.name}: links to the mirror can't be made in {folder}: {error.strerror}"
        ) from None
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _swap(new: Path, folder: Path) -> None:
    """Put a folder in the place of another one, which is removed last."""
    aside = new.with_suffix(".old")
    there = os.path.lexists(folder)
    if there:
        os.rename(folder, aside)
    try:
        os.rename(new, folder)
    except OSError:
        if there:
            os.rename(aside, folder)
        raise
    if aside.is_symlink():
        aside.unlink()
    else:
        shutil.rmtree(aside, ignore_errors=True)
