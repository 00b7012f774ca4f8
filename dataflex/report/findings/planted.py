"""What selectors picked from pools whose classes are known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dataflex.evidence.results import CellResult
from dataflex.evidence.statistics.family import holm
from dataflex.report.findings.finding import Finding, listed, table
from dataflex.report.forest import Estimated, Forest, forest
from dataflex.report.quantities import plural
from paper_figures.planted import RANDOM, SIGNIFICANT, Marked, marked

SHOWN = 2
"""Decimals of a precision; methods that agree to as many are named together."""


def findings(rung: str, results: Sequence[CellResult]) -> Iterator[Finding]:
    """One: how many methods are told from random picking, and which come out best and worst."""
    if not results:
        return
    methods = marked(results)
    tested = [method for method in methods if not _is_random(method)]
    adjusted = holm([method.p_value for method in tested])
    if not tested:
        return
    silent = [method.name for method, p in zip(tested, adjusted, strict=True) if p >= SIGNIFICANT]
    told = len(tested) - len(silent)
    runs = methods[0].runs
    picked, pool = int(runs[0].metrics["n"]), sum(runs[0].metrics["pool"].values())
    told_from = f"{told} of {plural(len(tested), 'selector')} can be told from random picking"
    yield Finding(
        f"{told_from}: precision is best with {_at(max(map(_shown, tested)), tested)}, worst with "
        f"{_at(min(map(_shown, tested)), tested)}.",
        (f"Not told: {', '.join(silent)}. " if silent else "")
        + "".join(f"Random picking: {_words(method)}. " for method in methods if _is_random(method))
        + f"{picked} of {pool} rows picked with {plural(len(runs), 'seed')}; exact test, Holm over all at "
        f"{SIGNIFICANT}.",
        table(rung, "planted"),
    )


def drawing(rung: str, results: Sequence[CellResult]) -> Forest | None:
    """Precision by method, best first, beside what random picking gets; nothing without results."""
    if not results:
        return None
    return forest(
        "Precision on planted truth",
        "dot: mean over seeds with its 95 % interval; tick: what random picking gets of the same classes",
        table(rung, "planted"),
        [
            Estimated(
                method.name, method.precision, method.interval, f"{method.precision:.2f}", method.base_rate
            )
            for method in sorted(marked(results), key=lambda method: -method.precision)
        ],
        to=1.0,
    )


def _is_random(method: Marked) -> bool:
    return method.runs[0].key[1] == RANDOM


def _shown(method: Marked) -> float:
    return round(method.precision, SHOWN)


def _at(precision: float, methods: Sequence[Marked]) -> str:
    own = [method for method in methods if _shown(method) == precision]
    return f"{listed([method.name for method in own])}, {_words(own[0])}"


def _words(method: Marked) -> str:
    low, high = method.interval
    return f"{method.precision:.{SHOWN}f} [{low:.{SHOWN}f}, {high:.{SHOWN}f}]"
