"""Scores that were asked for before, in memory and in a file of JSON lines."""

from __future__ import annotations

import json
import math
import threading
from pathlib import Path

from dataflex.errors import UserError


class ScoreCache:
    """Scores by key. With a file they outlive the process, for a resumed run or another one.

    Args:
        file: JSON lines of ``key`` and ``score``, read at the first look and added to; None keeps all in
            memory.

    Raises:
        UserError: from the methods: the file can't be read or written.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._scores: dict[str, float] | None = None
        self._lock = threading.Lock()

    def get(self, key: str) -> float | None:
        """Return the score of a key, None where it is unknown."""
        with self._lock:
            return self._known().get(key)

    def put(self, key: str, score: float) -> None:
        """Keep a score. A kill loses at most the line that is being written."""
        with self._lock:
            self._known()[key] = score
            if self._file is None:
                return
            try:
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"key": key, "score": score}) + "\n")
            except OSError as error:
                raise self._unusable(error) from error

    def _known(self) -> dict[str, float]:
        if self._scores is None:
            self._scores = self._read(self._file) if self._file else {}
        return self._scores

    def _read(self, file: Path) -> dict[str, float]:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            text = file.read_text(encoding="utf-8") if file.exists() else ""
            if text and not text.endswith("\n"):
                # A line that a kill cut short must not run into the next one.
                with file.open("a", encoding="utf-8") as end:
                    end.write("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise self._unusable(error) from error
        scores = {}
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                key, score = str(entry["key"]), float(entry["score"])
            except (ValueError, KeyError, TypeError):
                continue  # cut short: it is asked again
            if math.isfinite(score):
                scores[key] = score
        return scores

    def _unusable(self, error: Exception) -> UserError:
        return UserError(f"endpoint.cache: {self._file} can't be used: {error}")
