"""Quantities of cells: what a method changed, picked, lost or asked for, over its seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from dataflex.errors import UserError
from dataflex.evidence.results import CellResult, by_seed
from dataflex.evidence.statistics.seeds import mean, paired
from paper_figures.layout import TOTALS
from paper_figures.mixture import baseline
from paper_figures.planted_mixture import studies
from paper_figures.prose import shown

Cells = Sequence[CellResult]
Quantity = Callable[[Cells, Cells, str], str]
"""The cells that are meant, all of their experiment, and what stands behind the quantity's name."""


def change(chosen: Cells, around: Cells, metric: str) -> str:
    """What the method changed from the baseline in a metric, paired by seed, with its interval."""
    group = [cell for cell in around if cell.key[2:] == chosen[0].key[2:]]
    base = baseline({cell.key[1]: cell for cell in group})
    if base is None:
        raise UserError(f"{chosen[0].key[0]} has no baseline to compare with")
    theirs = by_seed([cell for cell in group if cell.key[1] == base], metric)
    return shown.change(paired(by_seed(chosen, metric), theirs), 3)


def precision(chosen: Cells, around: Cells, _: str) -> str:
    """Mean precision of the method's picks from the planted pool."""
    return shown.plain(mean([float(cell.metrics["precision"]) for cell in chosen]), 2)


def regret(chosen: Cells, around: Cells, _: str) -> str:
    """Mean regret of the method to the best static mixture of its seeds."""
    found = (method for study in studies(around) for method in study.methods)
    regrets = next(method.regrets for method in found if method.runs[0].key == chosen[0].key)
    return shown.plain(mean(regrets), 2)


def _asked(part: str) -> Quantity:
    def share(chosen: Cells, around: Cells, domain: str) -> str:
        return shown.plain(mean([float(cell.metrics[part][domain]) for cell in chosen]), 2)

    return share


def seeds(chosen: Cells, around: Cells, _: str) -> str:
    """With how many seeds every method was run, in words."""
    counts = set(Counter(cell.key for cell in chosen).values())
    if len(counts) > 1:
        raise UserError(f"some methods have {min(counts)} seeds, others {max(counts)}")
    return shown.word(counts.pop())


def results(chosen: Cells, around: Cells, _: str) -> str:
    """How many results there are."""
    return f"{len(chosen):,}"


def domains(chosen: Cells, around: Cells, _: str) -> str:
    """On how many domains the models were evaluated, in words."""
    return shown.word(len(set(chosen[0].metrics["perplexity"]) - set(TOTALS)))


def statics(chosen: Cells, around: Cells, _: str) -> str:
    """How many static mixtures regret is measured against, in words."""
    return shown.word(len({cell.key[1] for cell in chosen if cell.metrics["yardstick"]}))


QUANTITIES: Mapping[str, Quantity] = {
    "change": change,
    "precision": precision,
    "regret": regret,
    "asked": _asked("asked"),
    "asked_last": _asked("asked_last"),
    "seeds": seeds,
    "results": results,
    "domains": domains,
    "statics": statics,
}
