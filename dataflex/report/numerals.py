"""Cells of tables, set so that a number is read before its error, and that words may be broken."""

from __future__ import annotations

import re

from markupsafe import Markup

ERROR = re.compile(r"^(?P<value>[-+]?[\d.,]+(?: to [\d.,]+)?)(?P<error>(?: ±| \[| \().*)$")
"""A number, and the interval, error or remark behind it."""

SHORT = 14
"""Letters of words that always stand on one line."""


def wordy(cell: str) -> bool:
    """Whether a cell is words that a narrow column may break, not a number with what belongs to it."""
    return len(cell) > SHORT and not any(letter.isdigit() for letter in cell)


def parted(cell: str) -> Markup:
    """The same text, with the error in an element of its own."""
    found = ERROR.match(cell)
    if found is None:
        return Markup("{}").format(cell)
    return Markup('{}<span class="err">{}</span>').format(found["value"], found["error"])
