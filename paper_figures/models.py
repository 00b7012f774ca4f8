"""What the tables of trained models share: groups of runs, their numbers with intervals, notes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence

from dataflex.evidence.claims.measure import at_chance
from dataflex.evidence.results import CellResult
from dataflex.evidence.statistics.estimate import LEVEL
from dataflex.evidence.statistics.seeds import mean, of_mean
from paper_figures.layout import TOTALS, domain_label, domains_in_order
from paper_figures.sources import shown_id
from paper_figures.table import COLUMN

CONFIDENCE = f"{100 * LEVEL:g} %"
"""Level of the intervals as it is written."""
CHANCE = "≈"
"""Marks an accuracy that cannot be told from chance."""
DATA_HEADER = ("experiment", "method", "model", "scale", "seed", "metric", "value", COLUMN)
Group = tuple[str, str]
"""Model and scale."""


def spread(values: Sequence[float], digits: int, factor: float = 1.0) -> str:
    """``mean`` of one run; of several ``mean ± half of its interval`` over the seeds."""
    centre = f"{mean(values) * factor:.{digits}f}"
    interval = of_mean(values).interval()
    return centre if interval is None else f"{centre} ± {(interval[1] - interval[0]) / 2 * factor:.{digits}f}"


def accuracy(runs: Sequence[CellResult], digits: int = 1) -> str:
    """Accuracy in percent over the seeds, marked where it cannot be told from chance."""
    return spread([float(run.metrics["mmlu"]["acc"]) for run in runs], digits, 100) + (
        f" {CHANCE}" if at_chance(runs) else ""
    )


def chance_note(groups: Sequence[Sequence[CellResult]]) -> str:
    """What accuracy means here: which rows cannot be told from chance."""
    n = int(groups[0][0].metrics["mmlu"]["n"])
    guessing = sum(map(at_chance, groups))
    told = (
        f"{guessing} of {len(groups)} rows (marked {CHANCE}) lie within two standard errors of that: their "
        "accuracy cannot be told from chance."
        if guessing
        else "Every row lies more than two standard errors from that."
    )
    return (
        f"A model that knows no answer to these {n} questions is right as often as luck has it with the "
        f"letters that it chooses, 25 % of the time if it chooses them alike. {told} "
        "The answer loss, -log p(right option) in nats (guessing: 1.386), is the finer measure."
    )


def seeds_note(groups: Sequence[Sequence[CellResult]]) -> str:
    """Over how many seeds the numbers are taken."""
    counts = sorted({len(runs) for runs in groups})
    if counts == [1]:
        return f"One seed ({groups[0][0].seed}): no statement about which method is better follows from it."
    shown = " to ".join(str(count) for count in ([counts[0], counts[-1]] if len(counts) > 1 else counts))
    return f"Mean ± half of its {CONFIDENCE} interval, Student's over {shown} seeds."


def groups_of(results: Sequence[CellResult]) -> dict[Group, dict[str, list[CellResult]]]:
    """Runs by (model, scale), then by method, seeds in order."""
    found: dict[Group, dict[str, list[CellResult]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        _, method, model, scale = result.key
        found[model, scale][method].append(result)
    return {group: found[group] for group in sorted(found, key=_by_size)}


def _by_size(group: Group) -> list[tuple[str, int]]:
    """Words and numbers in turn: 6B stands before 30B."""
    pieces = re.findall(r"([^0-9]*)([0-9]*)", " ".join(group))
    return [(text, int(number or 0)) for text, number in pieces]


def title(name: str, group: Group, groups: int) -> str:
    """The first cell of a row; the model and scale are named where a table holds several."""
    return name if groups == 1 else f"{name}, {group[0]}, {group[1]}"


def data_rows(
    results: Sequence[CellResult], numbers: Callable[[CellResult], dict[str, float]]
) -> list[list[object]]:
    """Unrounded numbers, one a line, with the id of the result that each is from."""
    return [
        [*run.key, run.seed, name, repr(value), source]
        for run in results
        for source in (shown_id(run),)
        for name, value in sorted(numbers(run).items())
    ]


def domain_columns(results: Sequence[CellResult]) -> list[str]:
    """A total and then the domains that every run was evaluated on; none where one had no text.

    The total is that of the corpus's own mixture where it is known, else of all documents.
    """
    shared = set.intersection(*(set(result.metrics["perplexity"]) for result in results))
    total = next((name for name in TOTALS if name in shared), None)
    return [total, *domains_in_order(shared)] if total else []


def bits(runs: Sequence[CellResult], domain: str) -> list[float]:
    """Bits per byte on one domain, of each run."""
    return [float(run.metrics["perplexity"][domain]["bits_per_byte"]) for run in runs]


def head(domain: str) -> str:
    """Column head of a domain."""
    return "ALL" if domain in TOTALS else domain_label(domain)
