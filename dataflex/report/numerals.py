"""Cells of tables, set so that the number is read first and its error after it."""

from __future__ import annotations

import re

from markupsafe import Markup

ERROR = re.compile(r"^(?P<value>[-+]?[\d.,]+(?: to [\d.,]+)?)(?P<error>(?: ±| \[| \().*)$")
"""A number, and the interval, error or remark behind it."""


def parted(cell: str) -> Markup:
    """The same text, with the error in an element of its own."""
    found = ERROR.match(cell)
    if found is None:
        return Markup("{}").format(cell)
    return Markup('{}<span class="err">{}</span>').format(found["value"], found["error"])
