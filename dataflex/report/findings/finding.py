"""One thing that results say, and where it stands in full."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A finding.

    Attributes:
        said: one sentence, with number and interval where there is one.
        basis: what it rests on: tests, sizes, the numbers beside.
        anchor: of the part of the page that shows all of it.
        where: what that part is, as ``table``.
    """

    said: str
    basis: str
    anchor: str
    where: str = "table"


def table(rung: str, name: str) -> str:
    """The anchor of a table."""
    return f"table-{rung}-{name}"


def listed(names: list[str]) -> str:
    """Names in a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
