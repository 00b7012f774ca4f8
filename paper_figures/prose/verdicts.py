"""Verdicts as the documents count them: ``claims/demo underpowered``, and ``registered`` for all claims."""

from __future__ import annotations

from collections.abc import Sequence

from dataflex.evidence.claims.judge import judge
from dataflex.evidence.claims.judgement import VERDICTS
from dataflex.evidence.claims.registry import load
from dataflex.evidence.results import CellResult


def text(rung: str, quantity: str, results: Sequence[CellResult]) -> str:
    """How many claims a rung's results give a verdict; ``registered``: how many there are at all.

    Raises:
        KeyError: there is no such verdict.
    """
    if quantity == "registered":
        return str(len(load().claims))
    if quantity not in VERDICTS:
        raise KeyError(quantity)
    judged = judge({rung: results})
    return str(sum(one.rung == rung and one.verdict == quantity for one in judged))
