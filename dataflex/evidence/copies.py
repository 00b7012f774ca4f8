"""Does one run stand for two? What a cell measured, held against that of every other cell of its rung.

Two trainings never agree in the likelihood of nearly every question or document, so that cells that do hold
one outcome twice, however their files are spelled and ordered. The exception is a pair that trained alike:
the same seed from the same start with decisions that never differed. It is told, not refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dataflex.evidence import mixtures
from dataflex.evidence.results import HELD_OUT, PLAN_LOG, CellResult, read_curve, read_lines

NEARLY_ALL = 0.9
"""Share of the common outcomes from which two cells hold the same ones. Over all pairs of the demo rung's 102
models, the largest share is 1 document in 175, and no question."""
Outcomes = Mapping[str, Sequence[float]]
"""Numbers by what they are of: a question, a document, a step."""


class Reader(NamedTuple):
    """How a file's numbers are read, and within how much two of them are one."""

    read: Callable[[CellResult], Outcomes]
    close: float


class Pair(NamedTuple):
    """A cell, an earlier one that agrees with it, and the files in which they do."""

    result: CellResult
    other: CellResult
    files: tuple[str, ...]


def _questions(result: CellResult) -> Outcomes:
    return {
        str(line["id"]): [float(value) for value in line["logliks"]]
        for line in read_lines(result.folder / "questions.jsonl")
    }


def _documents(result: CellResult) -> Outcomes:
    return {
        str(line["id"]): [float(line["loglik"])] for line in read_lines(result.folder / "documents.jsonl")
    }


def _held_out(result: CellResult) -> Outcomes:
    # What the chain makes of a document tells it from the others, in whichever order they stand.
    documents = mixtures.read_held_out(result.folder / HELD_OUT)
    return {f"{line.domain}/{line.chain_loglik!r}": [line.loglik] for line in documents}


def _curve(result: CellResult) -> Outcomes:
    return {str(step): [loss] for step, _, loss in read_curve(result.folder / "curve.csv")}


ROUNDED, WRITTEN = 1e-4, 1e-9
"""In nats: what is left between log-likelihoods after one file was rounded, and between two that were not. A
curve may have few points, so that rounded ones would agree by chance."""
READERS: Mapping[str, Reader] = {
    "questions.jsonl": Reader(_questions, ROUNDED),
    "documents.jsonl": Reader(_documents, ROUNDED),
    HELD_OUT: Reader(_held_out, ROUNDED),
    "curve.csv": Reader(_curve, WRITTEN),
}
"""Files whose numbers no two trainings share. Picks are no such: two selections may take the same rows."""


def copies(results: Sequence[CellResult]) -> tuple[list[Pair], list[Pair]]:
    """Pairs of cells with the same outcomes: those that can't be two runs, and those that trained alike.

    Args:
        results: all cells of a rung.

    Returns:
        Pairs that are refused, and pairs that are to be told.
    """
    agreeing: dict[tuple[int, int], list[str]] = {}
    for file, (read, close) in READERS.items():
        places = [place for place, result in enumerate(results) if file in result.files]
        outcomes = [read(results[place]) for place in places]
        for later, earlier in _same(outcomes, close):
            agreeing.setdefault((places[later], places[earlier]), []).append(file)
    refused: list[Pair] = []
    told: list[Pair] = []
    seen: set[int] = set()
    for (later, earlier), files in sorted(agreeing.items()):
        pair = Pair(results[later], results[earlier], tuple(files))
        same_seed = pair.result.seed == pair.other.seed
        # The same rows in the same order, before anything was decided, lose the same.
        if same_seed and files == ["curve.csv"]:
            continue
        # Of many copies of one cell each is told once.
        if later in seen:
            continue
        seen.add(later)
        (told if trained_alike(*pair[:2]) else refused).append(pair)
    return refused, told


def _same(outcomes: Sequence[Outcomes], close: float) -> Iterator[tuple[int, int]]:
    """Places of two whose outcomes agree nearly all, the later one first."""
    names = {name: place for place, name in enumerate(sorted({name for own in outcomes for name in own}))}
    width = max((len(values) for own in outcomes for values in own.values()), default=0)
    if not names or not width:
        return
    table = np.full((len(outcomes), len(names), width), np.nan)
    for row, own in zip(table, outcomes, strict=True):
        for name, values in own.items():
            row[names[name], : len(values)] = values
    has = ~np.isnan(table[:, :, 0])
    for later in range(1, len(outcomes)):
        common = (has[later] & has[:later]).sum(axis=1)
        # A number that neither has, as a fifth option, is no difference.
        lacking = np.isnan(table[:later]) & np.isnan(table[later])
        alike = ((np.abs(table[:later] - table[later]) <= close) | lacking).all(axis=-1)
        agreeing = (alike & has[later] & has[:later]).sum(axis=1)
        for earlier in np.flatnonzero((common > 0) & (agreeing >= NEARLY_ALL * common)):
            yield later, int(earlier)


def trained_alike(one: CellResult, other: CellResult) -> bool:
    """Whether two cells may be two runs with the same outcomes: nothing that was decided set them apart.

    They have the same seed, start, learning curve and decisions, and each plan log names a component that
    its own config or manifest does. A cell that copies another one's files under its own manifest fails that
    if the methods are of different components; of one component it can't be told from a method that had no
    effect, which is why such pairs are shown.
    """
    if one.seed != other.seed or one.run.get("start") != other.run.get("start"):
        return False
    if _curve(one) != _curve(other) or not all(PLAN_LOG in result.files for result in (one, other)):
        return False
    ours, theirs = (read_lines(result.folder / PLAN_LOG) for result in (one, other))
    return _decided(ours) == _decided(theirs) and _names_its_own(one, ours) and _names_its_own(other, theirs)


def _decided(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in line.items() if key != "component"} for line in lines]


def _names_its_own(result: CellResult, lines: Sequence[Mapping[str, Any]]) -> bool:
    own = {decision.get("component") for decision in result.run["manifest"]["decisions"].values()}
    return {line["component"] for line in lines if "component" in line} <= own | {"initial"}
