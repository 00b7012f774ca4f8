"""A JSON-lines file that can be rewound to where a checkpoint left it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dataflex.errors import UserError


class Journal:
    """One line a record, appended and flushed at once; written by one process only.

    Args:
        path: the file; ``None`` on ranks that do not write.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.lines = 0

    def start(self) -> None:
        """Begin an empty file."""
        self.lines = 0
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text("")

    def append(self, record: dict[str, Any]) -> None:
        """Write one record."""
        self.lines += 1
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps(record, allow_nan=False) + "\n")

    def rewind(self, lines: int) -> None:
        """Drop what was written after the first ``lines`` records: the run goes on from a checkpoint.

        Without a file, in a new run directory, the records begin with this stretch of the run.

        Raises:
            UserError: the file is shorter than that.
        """
        self.lines = lines
        if self._path is None:
            return
        if not self._path.exists():
            self.start()
            return
        kept = self._path.read_text().splitlines(keepends=True)[:lines]
        if len(kept) < lines:
            raise UserError(
                f"{self._path} has {len(kept)} records, the checkpoint was made after {lines}: put the file "
                "back, or set overwrite_output_dir: true to start anew"
            )
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text("".join(kept))
        temporary.replace(self._path)
