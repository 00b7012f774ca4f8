"""Files of a result: written whole or not at all, read with their columns checked."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from dataflex.errors import UserError

Line = TypeVar("Line")


def write_text(file: Path, text: str) -> None:
    """Write a file through a temporary name."""
    temporary = file.with_name(file.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, file)


def write_table(file: Path, columns: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a CSV file; what is None is left empty."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(file, stream.getvalue())


def read_table(file: Path, columns: Sequence[str], make: Callable[[Mapping[str, str]], Line]) -> list[Line]:
    """Read a CSV file that has exactly these columns, a line at a time through ``make``.

    Raises:
        UserError: the file is missing, or its header or a value is not as it should be.
    """
    if not file.is_file():
        raise UserError(f"{file} is missing")
    with file.open(newline="") as stream:
        reader = csv.DictReader(stream)
        if tuple(reader.fieldnames or ()) != tuple(columns):
            raise UserError(f"{file} must have the columns {','.join(columns)}")
        try:
            return [make(row) for row in reader]
        except (TypeError, ValueError) as error:
            raise UserError(f"{file}: {error}") from None
