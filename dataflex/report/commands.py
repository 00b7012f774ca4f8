"""``dataflex-cli report``: one page that tells all."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from dataflex.errors import UserError
from dataflex.evidence.store.find import STORE, TIMINGS
from dataflex.evidence.unfinished import left_out
from dataflex.report.rungs import Rung, is_store, read_grids, read_rung, read_store

if TYPE_CHECKING:
    from dataflex.evidence.claims.judgement import Judgement


def report(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RESULTS]",
            help="The results of a rung, or a store of several. Without it: the reviewed ones in results/.",
        ),
    ] = None,
    grid: Annotated[
        Path | None,
        typer.Option(help="The results' grid file. Default: every grid in reproductions/ that fits."),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            help="The seeds of one rung that were asked for, as 1,2,3: what of them has no result is listed. "
            "Default: the grid's, and those that results have."
        ),
    ] = None,
    output: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
) -> None:
    """Write one HTML page that needs nothing else: findings, verdicts, tables, figures, cells, costs, gaps.

    The page asks for nothing from the network, and is the same bytes when it is made again from the same
    results.
    """
    asked = _numbers(seeds)
    console = Console(stderr=True)
    with console.status("reading results") as status:
        grids = read_grids(grid)
        if folder is None or is_store(folder):
            if asked:
                raise UserError("--seeds goes with the results of one rung: grids have seeds of their own")
            store = folder or STORE
            rungs, timings = read_store(store), [store / TIMINGS]
            judged = judgements(rungs, everywhere=True)
        else:
            rungs, timings = [read_rung(folder, grids, named=grid is not None)], []
            if rungs[0].unfinished:
                print(left_out(folder, rungs[0].unfinished), file=sys.stderr)
            grids = [entry for entry in grids if entry.grid["rung"] == rungs[0].name]
            judged = judgements(rungs, everywhere=False)
        timings += [folder / TIMINGS for folder in folders(rungs)]
        try:
            from dataflex.report.page import render
        except ModuleNotFoundError as error:
            raise UserError(
                f"{error.name} is not installed; install the suite with: pip install 'dataflex[suite]'"
            ) from None
        from dataflex.evidence.files import write_text

        page = render(
            rungs, grids, judged, timings, asked, tell=lambda part: status.update(f"making the {part}")
        )
        output.parent.mkdir(parents=True, exist_ok=True)
        write_text(output, page)
    cells = sum(len(rung.results) for rung in rungs)
    print(f"{output}: {cells} results, {len(judged)} claims, {output.stat().st_size / 1e6:.1f} MB")


def _numbers(text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text is not None else ()
    except ValueError:
        raise UserError(f"--seeds {text}: say whole numbers, for example 1,2,3") from None


def folders(rungs: Sequence[Rung]) -> list[Path]:
    """Where the rungs' results lie."""
    return [rung.results[0].folder.parent.parent for rung in rungs]


def judgements(rungs: Sequence[Rung], *, everywhere: bool) -> Sequence[Judgement]:
    """What the results say of the registered claims, in their order; nothing where none are registered.

    Args:
        rungs: with their results.
        everywhere: whether claims are listed as not run on the rungs that have no results, too.
    """
    from dataflex.evidence.claims.judge import judge
    from dataflex.evidence.claims.registry import FILE

    if not FILE.is_file():
        return ()
    results = {rung.name: rung.results for rung in rungs}
    return [judgement for judgement in judge(results) if everywhere or judgement.rung in results]
