"""All tables that a results folder can fill."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from dataflex.evidence.results import CellResult
from paper_figures.mixture import mixture
from paper_figures.mixture_weights import mixture_weights
from paper_figures.planted import planted
from paper_figures.planted_mixture import planted_mixture
from paper_figures.selection import selection, starts_of
from paper_figures.table import Table


def build(results: Sequence[CellResult]) -> list[Table]:
    """All tables that these results can fill."""
    by_experiment: dict[str, list[CellResult]] = defaultdict(list)
    for result in results:
        by_experiment[result.key[0]].append(result)
    tables = []
    tuned = by_experiment["selection"] + by_experiment["weighting"]
    if tuned:
        tables.append(selection(tuned, starts_of(tuned, results)))
    if by_experiment["mixture"]:
        tables.append(mixture(by_experiment["mixture"]))
        if weights := mixture_weights(by_experiment["mixture"]):
            tables.append(weights)
    if by_experiment["mixture_moe"]:
        caption = "Mixtures by the load of experts: MMLU-format questions and held-out perplexity"
        tables.append(mixture(by_experiment["mixture_moe"], "mixture_moe", caption))
        caption = "Mixtures by the load of experts: what share of the tokens each domain was given, in %"
        if weights := mixture_weights(by_experiment["mixture_moe"], "mixture_moe_weights", caption):
            tables.append(weights)
    if by_experiment["planted"]:
        tables.append(planted(by_experiment["planted"]))
    if by_experiment["planted_mixture"]:
        tables.append(planted_mixture(by_experiment["planted_mixture"]))
    return tables
