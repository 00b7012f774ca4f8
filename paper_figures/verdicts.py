"""The paper's claims: published and ours, interval, smallest detectable effect, verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dataflex.evidence.claims.judgement import MEANINGS, VERDICTS, Judgement
from dataflex.evidence.store.identity import SHOWN
from paper_figures.table import COLUMN, Table

NONE = "-"
PRECISION = {"points": 2}
"""Digits after the point by unit; three for any other."""
PAGE = 30
"""Rows that fit onto a printed page."""


def verdicts(judgements: Sequence[Judgement], name: str, caption: str) -> Table:
    """Make the table, a row a judgement, in their order.

    Args:
        judgements: of one rung or of several; with several each row names its own.
        name: file name of the table.
        caption: one sentence.
    """
    several = len({one.rung for one in judgements}) > 1
    counts = Counter(one.verdict for one in judgements)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
    meant = "; ".join(f"{verdict}: {MEANINGS[verdict]}" for verdict in VERDICTS if counts[verdict])
    return Table(
        name=name,
        caption=caption,
        header=[
            *("Claim", "Published", "Ours", "95 % interval", "Smallest detectable", "Seeds", "Verdict"),
        ],
        rows=[
            [
                (f"{one.rung}: " if several else "") + one.claim.statement,
                _published(one),
                _number(one, one.ours),
                _interval(one),
                _number(one, one.detectable, signed=False),
                str(len(one.seeds)) if one.seeds else NONE,
                one.verdict,
            ]
            for one in judgements
        ],
        notes=[
            f"Of {len(judgements)} claims: {told}." if judgements else "No claim was judged.",
            *([f"{meant[0].upper()}{meant[1:]}."] if meant else []),
            "Smallest detectable: the effect that would have been seen with probability .8. "
            f"{NONE}: not known, as an interval from one seed, or nothing to say.",
        ],
        data_header=(
            *("claim", "rung", "kind", "table", "methods", "metric", "unit", "published", "margin", "ours"),
            *("low", "high", "detectable", "p_value", "seeds", "questions", "verdict", "reason", COLUMN),
        ),
        data=[_line(one) for one in judgements],
        long=len(judgements) > PAGE,
        results=[[source[:SHOWN] for source in one.results] for one in judgements],
    )


def _number(judgement: Judgement, value: float | None, signed: bool = True) -> str:
    """A number in the claim's unit, a difference with its sign."""
    if value is None:
        return NONE
    claim = judgement.claim
    sign = "+" if signed and claim.kind == "difference" else ""
    return f"{value:{sign}.{PRECISION.get(claim.unit, 3)}f}"


def _published(judgement: Judgement) -> str:
    claim = judgement.claim
    if claim.published is None:
        return " > ".join(claim.methods) if claim.kind == "ordering" else NONE
    margin = f" ± {_number(judgement, claim.margin, signed=False)}" if claim.margin is not None else ""
    return f"{_number(judgement, claim.published)}{margin} {claim.unit}"


def _interval(judgement: Judgement) -> str:
    if judgement.interval is None:
        return NONE
    low, high = (_number(judgement, end) for end in judgement.interval)
    return f"[{low}, {high}]"


def _line(judgement: Judgement) -> list[object]:
    claim = judgement.claim
    low, high = judgement.interval or (None, None)
    numbers = (claim.published, claim.margin, judgement.ours, low, high, judgement.detectable)
    return [
        *(claim.id, judgement.rung, claim.kind, claim.table, "; ".join(claim.methods), claim.metric),
        claim.unit,
        *("" if value is None else repr(value) for value in (*numbers, judgement.p_value)),
        " ".join(map(str, judgement.seeds)),
        "" if judgement.questions is None else judgement.questions,
        judgement.verdict,
        judgement.reason,
        " ".join(judgement.results),
    ]
