"""The command line: ``python -m laptop``, with this folder's parent on the module path."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from dataflex import grid as grids
from dataflex.errors import UserError
from laptop.equality import differences
from laptop.memory import compare
from laptop.model import get_model
from laptop.runs import (
    Start,
    config_of,
    start,
    within_checkpoint,
    within_selection,
    within_step,
    write_data,
)

GRID = Path(__file__).parent.with_suffix(".yaml")
MODEL = "SmolLM2-135M-Instruct"
KILLS = (
    within_step(2),
    within_selection(5, seconds=10),
    within_checkpoint(10),
    within_step(11),
    within_selection(12, seconds=10),
    within_checkpoint(20),
)


def smoke(
    data: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="Rows of instruction, input, output.")
    ],
    model: Annotated[Path, typer.Option(help="Folder of the model; made if it is not there.")] = Path(
        "runs/laptop/model"
    ),
    output: Annotated[Path, typer.Option(help="Folder of the two runs; emptied first.")] = Path(
        "runs/laptop/runs"
    ),
    pool: Annotated[int, typer.Option(min=20, help="Rows to select from.")] = 20,
    validation: Annotated[int, typer.Option(min=1, help="Rows to select for.")] = 4,
) -> None:
    """Train twice: once undisturbed, once killed in six places; fail unless both end in the same bits."""
    console = Console()
    shutil.rmtree(output, ignore_errors=True)
    try:
        build = grids.load(GRID)["models"][MODEL]["build"]
        get_model(build["package"], build["sha256"], model)
        write_data(data, output / "data", pool, validation)
        config = config_of(model, output / "data")
        shown: list[tuple[str, Start]] = []
        with console.status("") as status:
            for run, kills in (("undisturbed", []), ("killed", list(KILLS))):
                for kill in [*kills, None]:
                    status.update(f"{run}: until {kill[0] if kill else 'the end'}")
                    shown.append((run, start(output / run, config, kill)))
            status.update("memory: predicted and taken")
            memory = compare(output / "memory", config)
    except UserError as error:
        print(f"laptop: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    table = Table("run", "ended", "seconds", "peak memory, GB")
    for run, one in shown:
        table.add_row(run, one.end, f"{one.seconds:.0f}", f"{one.peak / 1e9:.2f}")
    console.print(table)
    predicted, measured = memory["predicted"], memory["measured"]
    console.print(
        f"memory of tensors: {predicted / 1e9:.2f} GB predicted, {measured / 1e9:.2f} GB taken "
        f"({predicted / measured - 1:+.0%})"
    )
    found = differences(output / "undisturbed" / "run", output / "killed" / "run")
    console.print("both runs ended in the same bits" if not found else "these differ: " + ", ".join(found))
    raise typer.Exit(bool(found))


if __name__ == "__main__":
    typer.run(smoke)
