"""The right answers to the questions: what they are in a cell, and what a file of questions says they are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from dataflex.errors import UserError
from dataflex.evidence.files import read_table
from dataflex.evidence.results import CellResult

FILE = Path("reproductions/reference/answers.csv")
COLUMNS = ("questions", "answers", "n", "source")


def right_answers(result: CellResult) -> dict[str, int]:
    """The index of the right answer of each question that a model was asked, by the question's id."""
    return dict(zip(result.outcomes.ids, result.outcomes.golds, strict=True))


def digest(answers: Mapping[str, int]) -> str:
    """SHA-256 of the lines ``<id> <index of the right answer>``, sorted by id."""
    lines = "".join(f"{name} {gold}\n" for name, gold in sorted(answers.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def answers_digest(result: CellResult) -> str:
    """The digest of a cell's right answers."""
    return digest(right_answers(result))


def read(file: Path = FILE) -> dict[str, str]:
    """Digest of the right answers by the SHA-256 of a file of questions, as a protocol names it.

    Without the file nothing is known: a corpus of the user's own may ask any questions.

    Raises:
        UserError: the file is malformed or names a file of questions twice.
    """
    if not file.is_file():
        return {}
    rows = read_table(file, COLUMNS, lambda row: (row["questions"], row["answers"]))
    if len(dict(rows)) < len(rows):
        raise UserError(f"{file} names a file of questions twice")
    return dict(rows)
