"""Tokens that a run will take from each domain, as far as they are decided before it starts.

Shares are those of the run's own arithmetic (``dataflex.mixers.static``); what a run decides while it trains,
or takes from another that is not finished, is said to be open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from dataflex.config import DataFlexConfig
from dataflex.engine.context import Context
from dataflex.engine.facts import Facts
from dataflex.engine.mixer import Mixer
from dataflex.engine.proportions import as_proportions
from dataflex.engine.signals import Signals
from dataflex.errors import UserError
from dataflex.planning.corpora import Corpus, divide
from dataflex.registry import build


@dataclass(frozen=True)
class DomainTokens:
    """What a run takes from a domain."""

    domain: str
    tokens: int
    epochs: float | None
    """Passes over the domain; None when its size is not known."""


def domain_tokens(
    own: DataFlexConfig, corpus: Corpus, total: int, steps: int, batch_rows: int, row_tokens: int
) -> tuple[list[DomainTokens], str]:
    """Return the tokens of each domain, and how far they are decided.

    Args:
        own: dataflex's keys of the run.
        corpus: what the run reads.
        total: tokens that it trains on.
        steps: optimizer steps.
        batch_rows: rows of a step.
        row_tokens: of a packed row.
    """
    if not corpus.weights:
        return [], "the domains are known when the corpus is there"
    names = tuple(corpus.weights)
    sizes = corpus.domain_tokens()
    weights = np.array([corpus.weights[name] for name in names], float)
    loss_tokens = np.array([sizes[name] for name in names]) if sizes else np.round(weights).astype(np.int64)
    if own.init_mixture_proportions is not None:
        initial = as_proportions(own.init_mixture_proportions, names, "init_mixture_proportions")
    elif own.mixture_sample_rule == "uniform":
        initial = np.full(len(names), 1 / len(names))
    else:
        initial = weights / weights.sum()
    rows = np.maximum(loss_tokens // row_tokens, 1)
    facts = Facts(names, rows, loss_tokens, initial, seed=0, batch_rows=batch_rows, total_steps=steps)
    shares, decided = _decided(own, facts)
    given = divide(total, dict(zip(names, shares, strict=True)))
    table = [
        DomainTokens(name, tokens, round(tokens / sizes[name], 3) if sizes.get(name) else None)
        for name, tokens in given.items()
    ]
    return table, decided


def _decided(own: DataFlexConfig, facts: Facts) -> tuple[np.ndarray, str]:
    """Shares of the domains, and how far they are decided."""
    assert facts.proportions is not None
    for decision in own.decision_list():
        if decision.kind != "mix":
            continue
        component = cast(Mixer, build("mix", decision.component_name, decision.component_params))
        if not component.constant:
            return facts.proportions, "at first; decided anew in the run"
        try:
            mixture = component.update(Context(facts, step=0, update=0, signals=cast(Signals, None)))
        except UserError:
            return facts.proportions, "as if natural: learned by a run that is not finished"
        return mixture.proportions, "as given"
    return facts.proportions, "as given"
