"""Verdicts as the documents count them.

``claims registered`` counts all claims, ``claims verdicts`` the verdicts of all rungs, ``claims/demo judged``
those of one rung that results could speak to, ``claims/demo underpowered`` those of one kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dataflex.evidence.claims.judge import judge
from dataflex.evidence.claims.judgement import VERDICTS
from dataflex.evidence.claims.registry import load
from dataflex.evidence.results import CellResult

NOT_RUN = "not-run"


def overall(quantity: str, results: Mapping[str, Sequence[CellResult]]) -> str:
    """A count over all rungs.

    Raises:
        KeyError: nothing is counted so.
    """
    if quantity == "registered":
        return str(len(load().claims))
    if quantity == "verdicts":
        return str(len(judge(results)))
    raise KeyError(quantity)


def of_rung(rung: str, quantity: str, results: Sequence[CellResult]) -> str:
    """How many claims a rung's results give a verdict, or any but not-run.

    Raises:
        KeyError: there is no such verdict.
    """
    if quantity not in ("judged", *VERDICTS):
        raise KeyError(quantity)
    given = [one.verdict for one in judge({rung: results}) if one.rung == rung]
    wanted = set(VERDICTS) - {NOT_RUN} if quantity == "judged" else {quantity}
    return str(sum(verdict in wanted for verdict in given))
