"""What several runs answered to the same questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dataflex.evidence.results import CellResult, read_lines
from dataflex.evidence.statistics.clusters import FloatArray


def common_answers(runs: Sequence[CellResult]) -> tuple[FloatArray, list[str]] | str:
    """Which questions each run answered rightly, shape (runs, questions), and their subjects.

    Or, in words, that they were not asked the same questions: then the runs say nothing together, though each
    may be sound.
    """
    tables = [sorted(read_lines(run.folder / "questions.jsonl"), key=_id) for run in runs]
    for run, table in zip(runs, tables, strict=True):
        if not table or [_id(question) for question in table] != [_id(question) for question in tables[0]]:
            return f"{run.folder.name} was not asked the questions of {runs[0].folder.name}"
    correct = np.array([[float(question["correct"]) for question in table] for table in tables])
    return correct, [str(question["subject"]) for question in tables[0]]


def _id(question: dict[str, Any]) -> str:
    return str(question["id"])
