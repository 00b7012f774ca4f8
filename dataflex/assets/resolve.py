"""One repository into the cache: as it lies there, else from the mirror or the hub; held to the lock."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dataflex.assets import hub
from dataflex.assets.choice import choose
from dataflex.assets.digests import contents_differ, differ, measure, sizes_differ
from dataflex.assets.lock import Entry, File, put, read_lock
from dataflex.assets.mirror import commit_noted, is_cache, link, names_in, own_names, place_of
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
    if source:
        names = choose(asset, names_in(source))
        revision = _from_mirror(asset, source, names, wanted)
        # A mirror may be the cache itself, under another name.
        origin: Origin = "cache" if is_cache(source, names, folder) else "mirror"
    else:
        origin = "hub"
        revision, listed = hub.look_up(asset, wanted or asset.revision)
        names = choose(asset, listed)
        _unlink(folder)
        hub.download(asset, revision, names, folder)
        # What another revision left would be loaded, too.
        for name in own_names(folder) - set(names):
            (folder / name).unlink()
        source = folder
    files = _verified(asset, source, names, locked, lock_file, quiet)
    if origin == "mirror":
        link(source, names, folder, asset)
    # What is told of a repository is the same wherever it came from.
    entry = locked or Entry(revision, files)
    if locked is None:
        put(lock_file, asset.name, entry)
    return Resolved(folder, origin, entry)


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
    if asset.pinned and locked.revision not in (None, asset.revision):
        raise UserError(
            f"{asset.name}: the grid asks for revision {asset.revision}, {lock_file} holds "
            f"{locked.revision}: correct the grid, or lock anew with: "
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
            f"hf download {asset.repo} --repo-type {asset.kind.removesuffix('s')} --revision {wanted} "
            f"--local-dir {source}"
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
