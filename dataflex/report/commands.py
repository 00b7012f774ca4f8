"""``dataflex-cli report``: one page that tells all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from dataflex.errors import UserError
from dataflex.report.rungs import Rung, read_grids, read_rungs

if TYPE_CHECKING:
    from dataflex.evidence.claims.judgement import Judgement


def report(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RESULTS]", help="A results folder. Without it: all reviewed results in results/."
        ),
    ] = None,
    grid: Annotated[
        Path | None,
        typer.Option(help="The results' grid file. Default: every grid in reproductions/ that fits."),
    ] = None,
    output: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
) -> None:
    """Write one HTML page that needs nothing else: verdicts, tables, figures, every cell, costs, assumptions.

    The page asks for nothing from the network, and is the same bytes when it is made again from the same
    results.
    """
    console = Console(stderr=True)
    with console.status("reading results") as status:
        grids = read_grids(grid)
        rungs = read_rungs(folder, grids, named=grid is not None)
        if folder is not None:
            grids = [entry for entry in grids if entry.grid["rung"] == rungs[0].name]
        judged = judgements(rungs, everywhere=folder is None)
        try:
            from dataflex.report.page import render
        except ModuleNotFoundError as error:
            raise UserError(
                f"{error.name} is not installed; install the suite with: pip install 'dataflex[suite]'"
            ) from None
        from dataflex.evidence.files import write_text

        page = render(rungs, grids, judged, tell=lambda part: status.update(f"making the {part}"))
        output.parent.mkdir(parents=True, exist_ok=True)
        write_text(output, page)
    cells = sum(len(rung.results) for rung in rungs)
    print(f"{output}: {cells} results, {len(judged)} claims, {output.stat().st_size / 1e6:.1f} MB")


def judgements(rungs: Sequence[Rung], *, everywhere: bool) -> Sequence[Judgement]:
    """What the results say of the registered claims, by verdict; nothing where no claims are registered.

    Args:
        rungs: with their results.
        everywhere: whether claims are listed as not run on the rungs that have no results, too.
    """
    from dataflex.evidence.claims.judge import judge
    from dataflex.evidence.claims.judgement import VERDICTS
    from dataflex.evidence.claims.registry import FILE

    if not FILE.is_file():
        return ()
    results = {rung.name: rung.results for rung in rungs}
    found = [judgement for judgement in judge(results) if everywhere or judgement.rung in results]
    return sorted(found, key=lambda judgement: VERDICTS.index(judgement.verdict))
