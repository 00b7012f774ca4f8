"""Reference numbers of a rung: one CSV line for each cell and metric, measured from repeated runs."""

from __future__ import annotations

import csv
import io
import math
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dataflex.errors import UserError
from dataflex.evidence.results import CellResult
from dataflex.evidence.statistics.prediction import TOLERANCE_LEVEL, half_width, share_half_width
from dataflex.evidence.statistics.seeds import mean, standard_deviation

COLUMNS = (
    "experiment", "method", "model", "scale", "metric",
    "mean", "sd", "tolerance", "seeds", "corpus", "source",
)  # fmt: skip
MIN_TOLERANCE = 1e-9
"""Runs that all agree leave no measured tolerance; what remains is the rounding of a sum."""


@dataclass(frozen=True)
class Reference:
    """Mean of one metric over the seeds of one cell, and how far one further run may lie from it."""

    key: tuple[str, str, str, str]
    metric: str
    mean: float
    sd: float
    tolerance: float
    seeds: tuple[int, ...]
    corpus: str
    source: str

    def row(self) -> dict[str, str]:
        """The line of the CSV; ``repr`` keeps every digit."""
        experiment, method, model, scale = self.key
        return {
            "experiment": experiment,
            "method": method,
            "model": model,
            "scale": scale,
            "metric": self.metric,
            "mean": repr(self.mean),
            "sd": repr(self.sd),
            "tolerance": repr(self.tolerance),
            "seeds": " ".join(str(seed) for seed in self.seeds),
            "corpus": self.corpus,
            "source": self.source,
        }


def measure(results: Sequence[CellResult], source: str, level: float = TOLERANCE_LEVEL) -> list[Reference]:
    """Reference numbers from repeated runs: mean, standard deviation and prediction half width.

    Raises:
        UserError: a cell has fewer than two seeds, or its runs saw different texts.
    """
    groups: dict[tuple[str, str, str, str], list[CellResult]] = defaultdict(list)
    for result in results:
        groups[result.key].append(result)
    references = []
    for key, runs in groups.items():
        name = "/".join(key)
        if len(runs) < 2:
            raise UserError(f"{name} has one seed: a tolerance needs at least two, six are better")
        if len({run.corpus for run in runs}) > 1:
            raise UserError(f"{name}: its runs saw different texts, see `corpus` in their run.json")
        for metric in runs[0].numbers():
            values = [run.numbers()[metric] for run in runs]
            references.append(
                Reference(
                    key=key,
                    metric=metric,
                    mean=mean(values),
                    sd=standard_deviation(values),
                    tolerance=_tolerance(runs, values, level),
                    seeds=tuple(run.seed for run in runs),
                    corpus=runs[0].corpus,
                    source=source,
                )
            )
    return references


def one_seed(results: Sequence[CellResult]) -> bool:
    """Whether no cell was run with a second seed, so that no tolerance can be measured."""
    return len({result.key for result in results}) == len(results)


def _tolerance(runs: Sequence[CellResult], values: Sequence[float], level: float) -> float:
    measured = max(half_width(values, level), MIN_TOLERANCE)
    picks = [run.picks for run in runs if run.picks is not None]
    return max(measured, share_half_width(values, min(picks), level)) if picks else measured


def require_own(file: Path) -> None:
    """Refuse a file that is there and holds something else than reference numbers, as published ones.

    Raises:
        UserError: it does.
    """
    if not file.is_file():
        return
    with file.open(newline="") as stream:
        header = tuple(next(csv.reader(stream), ()))
    if header != COLUMNS:
        raise UserError(
            f"{file} does not hold reference numbers (columns {','.join(COLUMNS)}) and is not written over: "
            "name another file"
        )


def write(references: Sequence[Reference], file: Path) -> None:
    """Write the CSV, replacing it at once.

    Raises:
        UserError: the file is there and holds something else.
    """
    require_own(file)
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(reference.row() for reference in references)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(file.name + ".tmp")
    temporary.write_text(stream.getvalue())
    os.replace(temporary, file)


def read(file: Path) -> list[Reference]:
    """Read reference numbers.

    Raises:
        UserError: the file is missing, empty or malformed, or names a number twice.
    """
    if not file.is_file():
        raise UserError(f"reference file {file} does not exist")
    with file.open(newline="") as stream:
        reader = csv.DictReader(stream)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise UserError(f"{file} must have the columns {','.join(COLUMNS)}")
        rows = list(reader)
    references = []
    for number, row in enumerate(rows, start=2):
        try:
            reference = Reference(
                key=(row["experiment"], row["method"], row["model"], row["scale"]),
                metric=row["metric"],
                mean=float(row["mean"]),
                sd=float(row["sd"]),
                tolerance=float(row["tolerance"]),
                seeds=tuple(int(seed) for seed in row["seeds"].split()),
                corpus=row["corpus"],
                source=row["source"],
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{file}, line {number}: {error}") from None
        values = (reference.mean, reference.sd, reference.tolerance)
        if (
            not all(math.isfinite(value) for value in values)
            or reference.tolerance <= 0
            or not reference.seeds
        ):
            raise UserError(
                f"{file}, line {number}: numbers must be finite, tolerance positive, seeds not empty"
            )
        references.append(reference)
    if not references:
        raise UserError(f"{file} holds no reference number")
    places = [(reference.key, reference.metric) for reference in references]
    if len(set(places)) < len(places):
        raise UserError(f"{file} gives a number twice")
    return references
