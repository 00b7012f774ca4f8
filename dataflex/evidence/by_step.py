"""Accuracy during training: ``by_step.csv`` among a cell's results, a line an evaluated checkpoint.

The last line is the model at the end of the run; its numbers are those of ``metrics.json``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from dataflex.errors import UserError
from dataflex.evidence.files import read_table, write_table
from dataflex.evidence.results import BY_STEP, read_json

COLUMNS = ("step", "acc", "answer_nll", "n")
METRICS = "metrics.json"


@dataclass(frozen=True)
class Point:
    """What a run's model had learned after some of its steps.

    Attributes:
        step: optimizer steps.
        acc: share of the questions that were answered rightly.
        answer_nll: -log p(right option) in nats, mean over the questions.
        n: questions.
    """

    step: int
    acc: float
    answer_nll: float
    n: int


def gather(steps: Mapping[int, Path], output: Path) -> None:
    """Write ``by_step.csv`` of a cell.

    Args:
        steps: folders of the evaluations, by step; that of the last one is the model's at the end of the run.
        output: the cell's folder among the results.

    Raises:
        UserError: an evaluation is missing or lacks a number, or was made in another way than the last one.
    """
    found = {step: read_json(folder / METRICS) for step, folder in sorted(steps.items())}
    last = max(found)
    points = [_point(metrics, step, steps[step]) for step, metrics in found.items()]
    for step, metrics in found.items():
        for part in differences(metrics["protocol"], found[last]["protocol"]):
            raise UserError(
                f"{steps[step]}: {part} is not that of {steps[last]}, so that the two can't be compared: "
                f"remove {METRICS} of the older one and have it evaluated again"
            )
    write_table(output / BY_STEP, COLUMNS, map(astuple, points))


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Parts of two protocols that differ and that the answers to the questions depend on."""
    parts = (one.keys() | other.keys()) - {"perplexity"}
    return sorted(part for part in parts if one.get(part) != other.get(part))


def _point(metrics: Mapping[str, Any], step: int, folder: Path) -> Point:
    try:
        score, _ = metrics["mmlu"], metrics["protocol"]
        return Point(step, float(score["acc"]), float(score["answer_nll"]), int(score["n"]))
    except (KeyError, TypeError) as error:
        raise UserError(f"{folder / METRICS} lacks {error}") from None


def read(file: Path) -> list[Point]:
    """The points of a ``by_step.csv``.

    Raises:
        UserError: the header or a number is not as it should be.
    """

    def point(row: Mapping[str, str]) -> Point:
        return Point(int(row["step"]), float(row["acc"]), float(row["answer_nll"]), int(row["n"]))

    return read_table(file, COLUMNS, point)


def contradictions(folder: Path, metrics: Mapping[str, Any]) -> Iterator[str]:
    """Yield one sentence for each thing in a cell's ``by_step.csv`` that no evaluation can have left there.

    Args:
        folder: of the cell, among the results.
        metrics: content of its ``metrics.json``.
    """
    try:
        points = read(folder / BY_STEP)
        end = _point(metrics, max((point.step for point in points), default=0), folder)
    except UserError as error:
        yield str(error)
        return
    if end not in points[-1:]:
        yield f"{BY_STEP} does not end with the numbers of {METRICS}"
    if any(later.step <= earlier.step for earlier, later in itertools.pairwise(points)):
        yield f"the steps of {BY_STEP} do not ascend"
    for point in points:
        right = point.acc * point.n
        if not (0 <= point.acc <= 1 and math.isclose(right, round(right), rel_tol=1e-9, abs_tol=1e-9)):
            yield f"step {point.step}: {point.acc!r} is no share of {point.n} questions"
        if point.n != end.n:
            yield f"step {point.step}: {point.n} questions, at the end {end.n}"
        if not 0 <= point.answer_nll < math.inf:
            yield f"step {point.step}: {point.answer_nll!r} is no loss"
