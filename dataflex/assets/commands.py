"""`dataflex-cli assets`: resolve, lock and verify what a grid takes from the hub or from a mirror."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from dataflex import grid as grids
from dataflex.assets.digests import differ
from dataflex.assets.lock import Entry, beside, read_lock
from dataflex.assets.mirror import VARIABLE, mirror_named
from dataflex.assets.resolve import Resolved, resolve
from dataflex.corpus.files import write_json
from dataflex.errors import UserError

app = typer.Typer(
    no_args_is_help=True, help="Take models and data sets of a grid, once, and hold them to its lock."
)

GridFile = Annotated[Path, typer.Argument(metavar="GRID.yaml", help="A grid, as reproductions/paper.yaml.")]
Only = Annotated[
    list[str] | None,
    typer.Option(help="A model or corpus of the grid, or models/ORG/NAME or datasets/ORG/NAME; else all."),
]
Root = Annotated[Path | None, typer.Option(help="The rung's folder; runs/<rung> unless told.")]
Mirror = Annotated[
    str | None, typer.Option(help=f"Folder to take files from before the hub; else ${VARIABLE}.")
]


def chosen(grid: dict[str, Any], only: list[str] | None) -> list[grids.Asset]:
    """Assets of a grid by the names of models, corpora or repositories; all without a name.

    Raises:
        UserError: the grid takes nothing of that name.
    """
    everything = grids.assets(grid)
    if not only:
        return list(everything.values())
    found: dict[str, grids.Asset] = {}
    for name in only:
        own = [everything[name]] if name in everything else []
        own += grids.model_assets(grid, name) if name in grid["models"] else []
        own += grids.corpus_assets(grid, name) if name in grid["corpora"] else []
        if not own:
            raise UserError(
                f"--only {name}: the grid takes nothing of this name; it takes {', '.join(everything)}"
            )
        found |= {asset.name: asset for asset in own}
    return list(found.values())


def _resolve(
    file: Path, only: list[str] | None, root: Path | None, mirror: str | None, update: bool
) -> list[tuple[grids.Asset, Resolved]]:
    grid = grids.load(file)
    cache = (root or Path("runs") / grid["rung"]) / "assets"
    place = mirror_named(mirror, os.environ)
    taken = []
    if not grids.assets(grid):
        typer.echo(f"{file} takes nothing from the hub")
    for asset in chosen(grid, only):
        found = resolve(asset, cache, beside(file), mirror=place, update=update)
        size = f"{len(found.entry.files)} files, {found.entry.bytes / 1e9:.3f} GB"
        typer.echo(f"{asset.name}: {size}, from the {found.origin}, revision {_told(found.entry)}")
        if asset.pinned and found.entry.revision is None:
            typer.echo(
                f"warning: {asset.name}: nobody told the revision of its files, and the grid asks for "
                f"{asset.revision}: if they may be of another, fill the mirror with hf download --local-dir, "
                "which notes it, and lock anew",
                err=True,
            )
        taken.append((asset, found))
    return taken


def _told(entry: Entry) -> str:
    return entry.revision or "unknown: the mirror does not tell it"


@app.command("resolve")
def resolve_command(
    grid: GridFile,
    only: Only = None,
    root: Root = None,
    mirror: Mirror = None,
    output: Annotated[Path | None, typer.Option(help="Sentinel to write; for one repository.")] = None,
) -> None:
    """Take repositories into the cache, from a mirror or the hub; verify them, lock them the first time."""
    taken = _resolve(grid, only, root, mirror, update=False)
    if output is None:
        return
    if len(taken) != 1:
        raise UserError("--output is for one repository: name it with --only")
    (asset, found) = taken[0]
    files = {name: file.sha256 for name, file in sorted(found.entry.files.items())}
    write_json(
        output,
        {"folder": str(found.folder), "name": asset.name, "revision": found.entry.revision, "sha256": files},
    )


@app.command()
def lock(
    grid: GridFile,
    only: Only = None,
    root: Root = None,
    mirror: Mirror = None,
    update: Annotated[bool, typer.Option(help="Lock anew what is locked already.")] = False,
) -> None:
    """Write the lock file: of every repository its commit, of every file its size and SHA-256."""
    _resolve(grid, only, root, mirror, update)
    typer.echo(f"{beside(grid)}: commit it")


@app.command()
def verify(
    grid: GridFile,
    only: Only = None,
    root: Root = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare every file in the cache with the lock file; nothing is taken."""
    content = grids.load(grid)
    cache = (root or Path("runs") / content["rung"]) / "assets"
    locked = read_lock(beside(grid))
    states = {}
    for asset in chosen(content, only):
        entry = locked.get(asset.name)
        states[asset.name] = "not locked yet" if entry is None else differ(cache / asset.name, entry.files)
    wrong = {name: state for name, state in states.items() if state}
    if as_json:
        typer.echo(json.dumps({name: state or "verified" for name, state in states.items()}, indent=2))
    else:
        for name, state in states.items():
            typer.echo(f"{name}: {state or 'verified'}")
    if wrong:
        raise UserError(
            f"{len(wrong)} of {len(states)} are not as {beside(grid)} says: take them with: "
            f"dataflex-cli assets resolve {grid}"
        )
