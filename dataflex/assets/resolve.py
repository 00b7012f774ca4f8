"""One repository into the cache: as it lies there, else from the mirror or the hub; held to the lock."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dataflex.assets import hub
from dataflex.assets.choice import choose
from dataflex.assets.digests import contents_differ, differ, measure, sizes_differ
from dataflex.assets.lock import Entry, File, put, read_lock
from dataflex.assets.mirror import (
    commit_noted,
    is_cache,
    is_same,
    is_snapshot,
    link,
    names_in,
    own_names,
    place_of,
)
from dataflex.assets.whole import lacking
from dataflex.errors import UserError
from dataflex.grid import Asset

Origin = Literal["cache", "mirror", "hub"]


@dataclass(frozen=True)
class Resolved:
    """A repository that lies whole and verified in the cache."""

    folder: Path
    origin: Origin
    entry: Entry


def resolve(
    asset: Asset,
    cache: Path,
    lock_file: Path,
    *,
    mirror: Path | None = None,
    update: bool = False,
    quiet: bool = False,
) -> Resolved:
    """Make sure that a repository lies in the cache, and that it is what the lock file says.

    Args:
        asset: what the grid says of it.
        cache: gets ``models/<org>/<name>`` or ``datasets/<org>/<name>``: links into a mirror, or the files.
        lock_file: gets an entry if it has none of this repository; else the files must be those.
        mirror: a folder laid out as the cache is.
        update: lock anew what is found.
        quiet: no progress bar.

    Returns:
        Where it lies, where it came from, and its files.

    Raises:
        UserError: it is nowhere to be had, it is gated, or it is not what grid or lock file say.
    """
    locked = None if update else read_lock(lock_file).get(asset.name)
    _agree(asset, locked, lock_file)
    folder = cache / asset.name
    if locked and _lies_whole(folder, locked, quiet):
        return Resolved(folder, "cache", locked)
    wanted = locked.revision if locked and locked.revision else (asset.revision if asset.pinned else None)
    source = place_of(asset, mirror, wanted) if mirror else None
    names, lacks = _of_mirror(asset, source, folder, wanted, locked) if source else ([], None)
    if source and lacks is None:
        revision = _from_mirror(asset, source, names, wanted)
        # A mirror may be the cache itself, under another name.
        origin: Origin = "cache" if is_cache(source, names, folder) else "mirror"
    else:
        origin = "hub"
        try:
            revision, names = _from_hub(asset, wanted or asset.revision, folder)
        except UserError as error:
            if source is None:
                raise
            raise UserError(f"{source} does not hold all of {asset.name}: {lacks}; {error}") from None
        source = folder
    files = _verified(asset, source, names, locked, lock_file, quiet)
    if origin == "mirror":
        link(source, names, folder, asset)
    # What is told of a repository is the same wherever it came from.
    entry = locked or Entry(revision, files, None if revision else asset.revision)
    if locked is None:
        put(lock_file, asset.name, entry)
    return Resolved(folder, origin, entry)


def _of_mirror(
    asset: Asset, source: Path, folder: Path, wanted: str | None, locked: Entry | None
) -> tuple[list[str], str | None]:
    """Names of a mirror's files that are taken; and what the hub is to be asked for, in words, if anything.

    Raises:
        UserError: something is missing in a folder that was filled to stand in for the hub.
    """
    # What the client keeps, or has not finished, is as much as somebody needed so far.
    partial = is_snapshot(source) or is_same(source, folder)
    try:
        names = choose(asset, names_in(source))
    except UserError as error:
        if not partial:
            raise
        return [], str(error)
    if locked:
        absent = sorted(set(locked.files) - set(names))
        return names, f"{absent[0]} is missing" if partial and absent else None
    lacks = lacking(asset, source, names)
    if lacks is None or partial:
        return names, lacks
    raise UserError(
        f"{source} does not hold all of {asset.name}: {lacks}: complete it with: "
        f"{_fill(asset, source, wanted or asset.revision)}"
    )


def _from_hub(asset: Asset, revision: str, folder: Path) -> tuple[str, list[str]]:
    """Fetch a repository into the cache; its commit and the names of its files."""
    commit, listed = hub.look_up(asset, revision)
    names = choose(asset, listed)
    _unlink(folder)
    hub.download(asset, commit, names, folder)
    # What another revision left would be loaded, too.
    for name in own_names(folder) - set(names):
        (folder / name).unlink()
    return commit, names


def _fill(asset: Asset, source: Path, revision: str) -> str:
    """The command that fills a mirror's folder."""
    return (
        f"hf download {asset.repo} --repo-type {asset.kind.removesuffix('s')} --revision {revision} "
        f"--local-dir {source}"
    )


def _unlink(folder: Path) -> None:
    """Remove links to a mirror, into which the hub's client would write through them."""
    if folder.is_symlink():
        folder.unlink()
    for path in folder.rglob("*"):
        if path.is_symlink():
            path.unlink()


def _lies_whole(folder: Path, locked: Entry, quiet: bool) -> bool:
    """Whether a folder holds the locked files, unchanged, and no others."""
    return own_names(folder) == set(locked.files) and differ(folder, locked.files, quiet=quiet) is None


def _agree(asset: Asset, locked: Entry | None, lock_file: Path) -> None:
    """Refuse a lock file that holds another commit than the grid names, or other checksums."""
    if locked is None:
        return
    # Where nobody told the files' revision, it is taken to be what the grid asked for then.
    known = locked.revision or locked.asked
    if asset.pinned and known not in (None, asset.revision):
        held = known if locked.revision else f"files that were taken for {known}, and of which nobody told it"
        raise UserError(
            f"{asset.name}: the grid asks for revision {asset.revision}, {lock_file} holds "
            f"{held}: correct the grid, or lock anew with: "
            f"dataflex-cli assets lock GRID --only {asset.name} --update"
        )
    for name, digest in asset.sha256.items():
        if name in locked.files and locked.files[name].sha256 != digest:
            raise UserError(
                f"{asset.name}: the grid gives {name} the SHA-256 {digest}, {lock_file} another: "
                "one of them is wrong"
            )


def _from_mirror(asset: Asset, source: Path, names: list[str], wanted: str | None) -> str | None:
    """The commit of a mirror's files as far as it is known; refuses another one than is wanted."""
    noted = commit_noted(source, names)
    if noted and wanted and noted != wanted:
        raise UserError(
            f"{source} holds revision {noted}, and {wanted} is asked for: fill it with: "
            f"{_fill(asset, source, wanted)}"
        )
    return noted


def _verified(
    asset: Asset, source: Path, names: list[str], locked: Entry | None, lock_file: Path, quiet: bool
) -> dict[str, File]:
    """Sizes and digests of the files, which are what grid and lock file say."""
    if locked:
        if odd := sorted(set(names) ^ set(locked.files)):
            where = "not in the lock file" if odd[0] in names else "missing"
            raise UserError(
                f"{source / odd[0]} is {where} ({lock_file}): it is another version of {asset.name}"
            )
        if wrong := sizes_differ(source, locked.files):
            raise UserError(
                f"{wrong} ({lock_file}): it is damaged or another version: remove it and get it again"
            )
    files = measure(source, names, quiet=quiet)
    if locked and (wrong := contents_differ(files, locked.files, source)):
        raise UserError(
            f"{wrong} ({lock_file}): it is damaged or another version: remove it and get it again"
        )
    for name, digest in asset.sha256.items():
        if name not in files:
            raise UserError(
                f"{asset.name}: the grid gives a SHA-256 for {name}, which is not among its files"
            )
        if files[name].sha256 != digest:
            raise UserError(
                f"{source / name} has SHA-256 {files[name].sha256}, and the grid asks for {digest}"
            )
    return files
