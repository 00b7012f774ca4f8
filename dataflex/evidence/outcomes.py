"""What a model answered to each question, without log-likelihoods: small enough to be kept for all cells."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataflex.evidence.statistics.clusters import FloatArray


@dataclass(frozen=True, eq=False)
class Outcomes:
    """One entry a question, in the order of the ids.

    Attributes:
        ids: of the questions.
        subjects: theirs.
        golds: index of the right answer.
        choices: index of the model's answer.
        correct: 1 where the two are the same, else 0.
    """

    ids: tuple[str, ...]
    subjects: tuple[str, ...]
    golds: tuple[int, ...]
    choices: tuple[int, ...]
    correct: FloatArray

    @classmethod
    def of(cls, lines: Iterable[Mapping[str, Any]]) -> Outcomes:
        """From the lines of ``questions.jsonl``."""
        # Cells that were asked the same share the strings.
        rows = sorted(lines, key=lambda line: str(line["id"]))
        return cls(
            tuple(sys.intern(str(row["id"])) for row in rows),
            tuple(sys.intern(str(row["subject"])) for row in rows),
            tuple(int(row["gold"]) for row in rows),
            tuple(int(row["choice"]) for row in rows),
            np.array([float(row["correct"]) for row in rows]),
        )
