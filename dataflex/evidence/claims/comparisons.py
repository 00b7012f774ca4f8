"""Which comparisons a register asks of a rung, run or not: they are one family, whatever was run of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from dataflex.evidence.claims.registry import Claim
from dataflex.evidence.claims.rungs import Places

Comparison = tuple[str, ...]
"""Both sides' cells in alphabetical order, the kind of number and its domain."""


def pairs(claim: Claim) -> Iterator[tuple[str, str]]:
    """The methods that a difference or ordering compares, those of different tiers, the better one first."""
    tier = {method: place for place, own in enumerate(claim.tiers) for method in own}
    for one, other in itertools.combinations(claim.methods, 2):
        if not tier or tier[one] != tier[other]:
            yield one, other


def comparison(claim: Claim, places: Places, one: str, other: str) -> Comparison | None:
    """What comparing two methods of a claim is on a rung; None where the rung has no place for it."""
    keys = [places.key(claim.model, claim.scale, method) for method in (one, other)]
    domain = places.domains.get(claim.metric, "")
    if None in keys or (claim.gauge in ("perplexity", "proportion") and not domain):
        return None
    return (*sorted("/".join(key) for key in keys if key is not None), claim.gauge, domain)


def family(claims: tuple[Claim, ...], table: str, places: Places) -> frozenset[Comparison]:
    """All comparisons that the differences and orderings of one table ask of a rung.

    Two claims that are about other models in the paper are about the same comparison on a rung that has one
    model: it counts once.
    """
    found = (
        comparison(claim, places, *pair)
        for claim in claims
        if claim.table == table and claim.kind != "value"
        for pair in pairs(claim)
    )
    return frozenset(one for one in found if one is not None)
