"""`dataflex-cli preflight`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dataflex import grid as grids


def preflight(
    grid: Annotated[Path, typer.Argument(metavar="GRID.yaml", help="A grid, as reproductions/paper.yaml.")],
    root: Annotated[Path | None, typer.Option(help="The rung's folder; runs/<rung> unless told.")] = None,
    experiment: Annotated[str | None, typer.Option(help="Check this one alone.")] = None,
    scale: Annotated[str | None, typer.Option(help="Check this scale alone.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Score this base model in place of the checks; needs what trains it.")
    ] = None,
    devices: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Look at the node that this runs on in place of the checks: as many GPUs, and what the "
            "trainings of --experiment at --scale are set to use.",
        ),
    ] = None,
    own_files: Annotated[
        list[str] | None, typer.Option(help="A corpus that is made from your files, not from the hub.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="JSON file; else below <root>/preflight.")] = None,
) -> None:
    """Before training: check disk, versions, licences, data; or a node's GPUs; or a base model's score."""
    from dataflex.preflight.devices import check_devices
    from dataflex.preflight.run import check, score

    folder = root or Path("runs") / grids.load(grid)["rung"]
    if model is not None:
        target = output or folder / "preflight" / "models" / f"{model}.json"
        typer.echo(score(grid, folder, model, target).line())
        return
    name = ".".join(part for part in (experiment, scale) if part) or "grid"
    if devices is not None:
        target = output or folder / "preflight" / "devices" / f"{name}.json"
        findings = check_devices(grid, target, devices, experiment=experiment, scale=scale)
    else:
        target = output or folder / "preflight" / f"{name}.json"
        findings = check(
            grid,
            folder,
            target,
            experiment=experiment,
            scale=scale,
            own_files=tuple(own_files or ()),
        )
    for finding in findings:
        typer.echo(finding.line())
