"""Comparing two results, or two methods over their seeds: only what was measured in the same way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataflex.errors import UserError
from dataflex.evidence.results import CellResult
from dataflex.evidence.statistics import seeds
from dataflex.evidence.statistics.estimate import Estimate
from dataflex.evidence.statistics.family import holm


@dataclass(frozen=True)
class Row:
    """One number of both sides.

    Attributes:
        metric: its name.
        ours: mean of the first side.
        theirs: mean of the second.
        difference: paired by seed.
        p_value: of no difference, adjusted for all rows (Holm).
    """

    metric: str
    ours: float
    theirs: float
    difference: Estimate
    p_value: float


def protocol_differences(one: CellResult, other: CellResult) -> list[str]:
    """What was measured differently, as ``part: this, that``; empty where the two may be compared.

    Models are measured by a protocol, whose hash decides. Selections and mixtures are marked against a
    corpus of their own, so that there the corpus does.
    """
    if one.kind != other.kind:
        return [f"kind: {one.kind}, {other.kind}"]
    if one.kind != "model":
        return [] if one.corpus == other.corpus else [f"corpus: {one.corpus}, {other.corpus}"]
    if one.metrics["protocol_hash"] == other.metrics["protocol_hash"]:
        return []
    return list(_differences(one.metrics["protocol"], other.metrics["protocol"])) or ["protocol_hash"]


def _differences(one: Mapping[str, Any], other: Mapping[str, Any], place: str = "") -> Iterator[str]:
    for key in sorted(one.keys() | other.keys()):
        name = f"{place}{key}"
        here, there = one.get(key), other.get(key)
        if isinstance(here, Mapping) and isinstance(there, Mapping):
            yield from _differences(here, there, f"{name}.")
        elif here != there:
            yield f"{name}: {here!r}, {there!r}"


def compare(ones: Sequence[CellResult], others: Sequence[CellResult]) -> list[Row]:
    """The numbers of two methods, over the seeds that both have.

    Raises:
        UserError: they were not measured in the same way, or have no seed in common.
    """
    for run in ones:
        for counterpart in others:
            if found := protocol_differences(run, counterpart):
                raise UserError(
                    f"{run.folder.name} and {counterpart.folder.name} were not measured in the same way, so "
                    "that their numbers can't be compared: " + "; ".join(found)
                )
    ours = {run.seed: run.numbers() for run in ones}
    theirs = {run.seed: run.numbers() for run in others}
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        raise UserError(f"no seed in common: {sorted(ours)} and {sorted(theirs)}")
    rows = []
    for name in ours[shared[0]]:
        one = {seed: ours[seed][name] for seed in shared if name in ours[seed]}
        other = {seed: theirs[seed][name] for seed in shared if name in theirs[seed]}
        if len(one) == len(other) == len(shared):
            rows.append(
                (name, seeds.mean([*one.values()]), seeds.mean([*other.values()]), seeds.paired(one, other))
            )
    adjusted = holm([difference.p_value() for *_, difference in rows])
    return [Row(*row, p) for row, p in zip(rows, adjusted, strict=True)]
