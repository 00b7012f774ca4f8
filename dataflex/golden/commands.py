"""``dataflex-cli check``: reviewed results and golden runs, are they what the repository says?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dataflex.errors import UserError
from dataflex.evidence import check as results
from dataflex.evidence.check import LOG_WIDTH

GOLDEN = "Golden runs"


def check(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]",
            help="A results folder. Without it: all reviewed results in results/, and golden runs.",
        ),
    ] = None,
    reference_file: Annotated[
        Path | None,
        typer.Option(
            "--reference",
            help="CSV of reference numbers. Default: those of the grid's rung, if there are any; without a "
            "grid reproductions/reference/demo.csv.",
        ),
    ] = None,
    grid_file: Annotated[
        Path | None,
        typer.Option("--grid", help="Of DIR: the grid that its cells were run by, to hold them against."),
    ] = None,
    allow_other_corpus: Annotated[
        bool,
        typer.Option(
            "--allow-other-corpus",
            help="Of DIR: no failure if there was nothing to compare, all of it being of other texts.",
        ),
    ] = False,
    all_rows: Annotated[
        bool, typer.Option("--all", "--verbose", help="Show every number, not only what is out.")
    ] = False,
    no_golden: Annotated[
        bool, typer.Option("--no-golden", help="Leave them out.", rich_help_panel=GOLDEN)
    ] = False,
    golden_only: Annotated[
        bool, typer.Option("--golden-only", help="Nothing but them.", rich_help_panel=GOLDEN)
    ] = False,
    record_golden: Annotated[
        bool,
        typer.Option(
            "--record-golden",
            help="Write reproductions/golden/ anew and tell what has changed.",
            rich_help_panel=GOLDEN,
        ),
    ] = False,
    components: Annotated[
        str | None,
        typer.Option(help="Of these components alone, as less,odm.", rich_help_panel=GOLDEN),
    ] = None,
) -> None:
    """Compare results with the repository's reference numbers, and golden runs with what was recorded.

    Results: a run's summaries must follow from its own outcomes (questions and documents, or picked rows),
    its settings must be those of its grid, and each number must lie within the tolerance that was measured
    from repeated runs. Reviewed results must also equal their recorded digests and means. Golden runs: a tiny
    training with every component must give the recorded bits on the recorded platform, elsewhere the recorded
    numbers within their tolerance. Exit status: 0 all in, 1 a number is out or was changed, 2 something is
    missing or malformed, or nothing could be compared.
    """
    of_golden = golden_only or record_golden or components is not None
    if of_golden and (folder is not None or no_golden):
        other = "--no-golden" if no_golden else "a results folder"
        raise UserError(f"{other} leaves the golden runs out: remove it, or the options of golden runs")
    console = Console()
    if not console.is_terminal:
        console = Console(width=LOG_WIDTH)
    if record_golden:
        from dataflex.golden import gate

        gate.record(console, gate.chosen_cases(components))
        return
    failed = False
    if not of_golden:
        failed = results.check(
            folder, reference_file, grid_file, allow_other_corpus=allow_other_corpus, all_rows=all_rows
        )
    if folder is None and not no_golden:
        # What golden runs need takes seconds to import.
        from dataflex.golden import gate

        failed |= gate.check_golden(console, gate.chosen_cases(components), whole=components is None)
    if failed:
        raise typer.Exit(1)
