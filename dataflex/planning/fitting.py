"""Tables as wide as the terminal: equal rows and columns are folded, and the last columns go first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table

from dataflex.planning.names import Name, together

GAP = 2
"""Blanks between columns, of which the table draws one itself."""
NARROWEST = 24
"""Letters that the column of names keeps; a longer name goes on in a further line."""


@dataclass(frozen=True)
class Column:
    """A column: its heading, a cell for each row, and whether it stays however narrow the terminal is."""

    heading: str
    cells: tuple[str, ...]
    kept: bool = False

    @property
    def width(self) -> int:
        """Letters of its longest cell; a heading may be broken between its words."""
        return max(map(len, (*self.heading.split(), *self.cells)))


@dataclass(frozen=True)
class Fitted:
    """A table with a line above and lines below, none of which makes it wider."""

    title: str
    table: Table
    notes: tuple[str, ...]


def columns(headings: Sequence[str], rows: Sequence[Sequence[str]], kept: Sequence[str] = ()) -> list[Column]:
    """Columns of some rows."""
    return [
        Column(heading, tuple(row[place] for row in rows), heading in kept)
        for place, heading in enumerate(headings)
    ]


def put_together(rows: Mapping[Name, Sequence[str]]) -> list[tuple[str, Sequence[str]]]:
    """Rows by name, those of one experiment that are equal as one, in the order of the first of each."""
    found: dict[tuple[str, tuple[str, ...]], list[Name]] = {}
    for name, cells in rows.items():
        found.setdefault((name.experiment, tuple(cells)), []).append(name)
    return [(together(names), cells) for (_, cells), names in found.items()]


def fitted(
    title: str,
    first: str,
    rows: Sequence[tuple[str, Sequence[str]]],
    headings: Sequence[str],
    width: int,
    *,
    kept: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Fitted:
    """A table that is no wider than ``width``.

    What is the same in all rows is told once, below. Of what does not fit, the last columns are left out and
    named.

    Args:
        title: above it.
        first: heading of the column of names.
        rows: name and cells.
        headings: of the cells.
        width: letters of a line.
        kept: headings of columns that are never left out.
        notes: further sentences below.
    """
    made = columns(headings, [cells for _, cells in rows], kept)
    same = [one for one in made if len(rows) > 2 and len(set(one.cells)) == 1 and not one.kept]
    shown = [one for one in made if one not in same]
    names = max(map(len, (first, *(name for name, _ in rows))))
    least = max(len(word) for name, _ in (("", ()), *rows) for word in (first, *name.split()))
    least = min(names, max(least, NARROWEST))
    left_out: list[str] = []
    while _needed(shown, least) > width:
        place = max((place for place, one in enumerate(shown) if not one.kept), default=None)
        if place is None:
            break
        left_out.insert(0, shown.pop(place).heading)
    said = list(notes)
    if same:
        said.insert(0, f"in every row: {', '.join(f'{one.heading} {one.cells[0]}' for one in same)}")
    if left_out:
        said.append(f"no room for {', '.join(left_out)} (a wider terminal, or --json)")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, GAP - 1, 0, 0), show_edge=False)
    room = max(least, width - _needed(shown, 0))
    table.add_column(first, max_width=min(names, room), overflow="fold")
    for one in shown:
        table.add_column(one.heading, justify="right", min_width=one.width, max_width=one.width)
    for number, (name, _) in enumerate(rows):
        table.add_row(name, *(one.cells[number] for one in shown))
    return Fitted(title, table, tuple(said))


def _needed(shown: Sequence[Column], names: int) -> int:
    return names + sum(one.width + GAP for one in shown) + GAP
