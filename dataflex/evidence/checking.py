"""Comparing results with reference numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dataflex.evidence.reference import Reference
from dataflex.evidence.results import CellResult
from dataflex.evidence.statistics.seeds import mean

Verdict = Literal["in", "out", "changed", "missing", "other corpus", "no reference"]
BAD: frozenset[Verdict] = frozenset({"out", "changed"})


@dataclass(frozen=True)
class Comparison:
    """One number beside its reference.

    ``seed`` is None for the mean over the seeds that the reference was measured from.
    """

    key: tuple[str, str, str, str]
    metric: str
    seed: int | None
    value: float | None
    reference: Reference | None
    verdict: Verdict


def compare(results: Sequence[CellResult], references: Sequence[Reference]) -> list[Comparison]:
    """Compare every number of every cell.

    A single run must lie within ``mean +- tolerance``. Where all the runs that the reference was measured
    from are there, their mean must equal the reference's to rounding: a reviewed number that was altered is
    ``changed`` even when it still lies within the tolerance. A run on other texts is not comparable.
    """
    by_place = {(reference.key, reference.metric): reference for reference in references}
    groups: dict[tuple[str, str, str, str], list[CellResult]] = defaultdict(list)
    for result in results:
        groups[result.key].append(result)
    found: list[Comparison] = []
    for key, runs in groups.items():
        for metric in runs[0].numbers():
            reference = by_place.get((key, metric))
            values = {run.seed: run.numbers().get(metric) for run in runs}
            for run in runs:
                value = values[run.seed]
                found.append(
                    Comparison(key, metric, run.seed, value, reference, _judge(run, value, reference))
                )
            if reference is None or not set(reference.seeds) <= set(values) or len(reference.seeds) < 2:
                continue
            chosen = [value for seed in reference.seeds if (value := values[seed]) is not None]
            if any(run.corpus != reference.corpus for run in runs):
                continue
            average = mean(chosen)
            same = len(chosen) == len(reference.seeds) and abs(average - reference.mean) <= 1e-12 * max(
                1.0, abs(reference.mean)
            )
            found.append(Comparison(key, metric, None, average, reference, "in" if same else "changed"))
    for reference in references:
        if reference.key not in groups:
            found.append(Comparison(reference.key, reference.metric, None, None, reference, "missing"))
    return found


def _judge(run: CellResult, value: float | None, reference: Reference | None) -> Verdict:
    if reference is None:
        return "no reference"
    if run.corpus != reference.corpus:
        return "other corpus"
    if value is None:
        return "missing"
    return "in" if abs(value - reference.mean) <= reference.tolerance else "out"
