"""Reading the results of a grid that is still running, or some of whose jobs failed.

A cell's files are made by two jobs, one that collects what its training left and one that evaluates it:
between them, and for good where the evaluation failed, half of a cell lies among the results.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dataflex.errors import UserError
from dataflex.evidence import digests
from dataflex.evidence.results import CellResult, cell_folders, is_complete, read_cells

MOST_NAMED = 3


def read_finished(folder: Path) -> tuple[list[CellResult], tuple[str, ...]]:
    """The finished cells of a results folder, and the paths there of those that are not.

    Reviewed results, which carry their digests, have nothing half done: half of a cell is an error there.

    Raises:
        UserError: no cell is finished, one is malformed, or two have the same coordinates.
    """
    cells = cell_folders(folder)
    reviewed = (folder / digests.NAME).is_file()
    finished = [cell for cell in cells if reviewed or is_complete(cell)]
    if not finished:
        raise UserError(
            f"{folder} holds no finished cell: its {len(cells)} are trained or evaluated in part; "
            "dataflex-cli status tells what they wait for"
        )
    unfinished = tuple(cell.relative_to(folder).as_posix() for cell in cells if cell not in finished)
    return read_cells(finished), unfinished


def left_out(folder: Path, unfinished: Sequence[str]) -> str:
    """One line about them, for those who will miss them."""
    many = f"{len(unfinished)} cells are" if len(unfinished) > 1 else "1 cell is"
    more = f" and {len(unfinished) - MOST_NAMED} more" if len(unfinished) > MOST_NAMED else ""
    return (
        f"{folder}: {many} not finished and left out: {', '.join(unfinished[:MOST_NAMED])}{more} "
        "(dataflex-cli status tells what they wait for)"
    )
