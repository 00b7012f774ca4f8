"""What several runs answered to the same questions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dataflex.evidence.results import CellResult
from dataflex.evidence.statistics.clusters import FloatArray


def common_answers(runs: Sequence[CellResult]) -> tuple[FloatArray, list[str]] | str:
    """Which questions each run answered rightly, shape (runs, questions), and their subjects.

    Or, in words, that they were not asked the same questions: then the runs say nothing together, though each
    may be sound.
    """
    found = [run.outcomes for run in runs]
    for run, own in zip(runs, found, strict=True):
        if not own.ids or own.ids != found[0].ids:
            return f"{run.folder.name} was not asked the questions of {runs[0].folder.name}"
    return np.array([own.correct for own in found]), list(found[0].subjects)
