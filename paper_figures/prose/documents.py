"""Markers in Markdown: ``<!--n demo/planted/less precision-->.98<!--/n-->`` shows .98 and says what it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dataflex.errors import UserError

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "docs/*.md", "reproductions/**/README.md")
BEGIN, END = "<!--n ", "<!--/n-->"
MARKED = re.compile(rf"{BEGIN}(?P<name>[^<>\n]+?)-->(?P<text>[^<\n]*){END}")


@dataclass(frozen=True)
class Change:
    """A number that the results no longer give.

    Attributes:
        place: file and line.
        name: what it is.
        before: as the document has it.
        after: as the results give it.
    """

    place: str
    name: str
    before: str
    after: str


def documents(root: Path) -> list[Path]:
    """The documents whose numbers are filled: those that a reader of the repository is led to."""
    found = (sorted(root.glob(pattern)) for pattern in DOCUMENTS)
    return [file for files in found for file in files]


def fill(text: str, number: Callable[[str], str], file: str) -> tuple[str, list[Change]]:
    """Put numbers between their markers.

    Args:
        text: of a document.
        number: gives what to show by a marker's name.
        file: the document's name, for messages.

    Returns:
        The text with every number as it should be, and the changes.

    Raises:
        UserError: a marker is not closed on its line, or names what the results do not have.
    """
    changes = []

    def filled(found: re.Match[str]) -> str:
        name, before = found["name"], found["text"]
        place = f"{file}:{text.count(chr(10), 0, found.start()) + 1}"
        try:
            after = number(name)
        except UserError as error:
            raise UserError(f"{place}: {error}") from None
        if after != before:
            changes.append(Change(place, name, before, after))
        return f"{BEGIN}{name}-->{after}{END}"

    made = MARKED.sub(filled, text)
    for number_of_line, line in enumerate(text.splitlines(), start=1):
        if not line.count(BEGIN) == line.count(END) == len(MARKED.findall(line)):
            raise UserError(
                f"{file}:{number_of_line}: a marker reads `{BEGIN}<place> <quantity>-->...{END}`, on one line"
            )
    return made, changes
