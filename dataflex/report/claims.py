"""Judged claims as the page shows them: counted by verdict, a row each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dataflex.evidence.claims.judgement import MEANINGS, VERDICTS, Judgement
from dataflex.evidence.store.identity import short
from dataflex.report.quantities import decimals, interval, number

WIDTH, HEIGHT, EDGE = 180.0, 26.0, 7.0


@dataclass(frozen=True)
class Count:
    """How many claims got a verdict, and what the verdict means."""

    verdict: str
    number: int
    meaning: str


@dataclass(frozen=True)
class Row:
    """A judged claim in the words and forms of the page.

    ``links`` are the short ids of its results with their anchors, None of those that are not on the page.
    """

    judgement: Judgement
    published: str
    margin: str
    ours: str
    interval: str
    detectable: str
    basis: str
    drawing: Markup
    links: tuple[tuple[str, str | None], ...]


def counts(judgements: Sequence[Judgement]) -> list[Count]:
    """The verdicts in their order, those without a claim too."""
    found = Counter(judgement.verdict for judgement in judgements)
    return [Count(verdict, found[verdict], MEANINGS[verdict]) for verdict in VERDICTS]


def row(judgement: Judgement, anchors: Mapping[str, str]) -> Row:
    """One claim.

    Args:
        judgement: of the claim.
        anchors: of the results on the page, by id.
    """
    claim = judgement.claim
    signed, digits = claim.kind == "difference", max(decimals(claim.published), decimals(claim.margin))
    basis = []
    if judgement.seeds:
        basis.append(f"{len(judgement.seeds)} seed{'s' * (len(judgement.seeds) > 1)}")
    if judgement.questions is not None:
        basis.append(f"{judgement.questions:,} questions")
    if judgement.p_value is not None:
        basis.append(
            f"p {'< 0.001' if judgement.p_value < 0.001 else f'= {judgement.p_value:.3f}'}, adjusted"
        )
    return Row(
        judgement,
        published=" > ".join(claim.methods)
        if claim.kind == "ordering"
        else number(claim.published, digits, signed),
        margin="" if claim.margin is None else f"± {number(claim.margin, digits)}",
        ours=number(judgement.ours, digits, signed),
        interval=interval(judgement.interval, digits, signed),
        detectable=number(judgement.detectable, digits),
        basis=", ".join(basis),
        drawing=interval_drawing(judgement),
        links=tuple((short(name), anchors.get(name)) for name in judgement.results),
    )


def interval_drawing(judgement: Judgement) -> Markup:
    """The published number with its margin, ours with its interval, and zero, on one axis of their own.

    Nothing where one of the two numbers is missing. What it shows stands in the row in digits.
    """
    claim, ours = judgement.claim, judgement.ours
    if claim.published is None or ours is None:
        return Markup("")
    margin = claim.margin or 0.0
    low, high = judgement.interval or (ours, ours)
    marks = [claim.published - margin, claim.published + margin, low, ours, high]
    if claim.kind == "difference":
        marks.append(0.0)
    if not all(map(math.isfinite, marks)):
        return Markup("")
    least, most = min(marks), max(marks)

    def at(value: float) -> str:
        share = 0.5 if most == least else (value - least) / (most - least)
        return f"{EDGE + share * (WIDTH - 2 * EDGE):.1f}"

    band = float(at(claim.published + margin)) - float(at(claim.published - margin))
    parts = [
        Markup('<rect class="band" x="{}" y="3" width="{:.1f}" height="20"/>').format(
            at(claim.published - margin), band
        ),
        Markup('<path class="published" d="M{} 7.5l5.5 5.5-5.5 5.5-5.5-5.5z"/>').format(at(claim.published)),
        Markup('<path class="ours" d="M{0} 13H{1}M{0} 9v8M{1} 9v8"/>').format(at(low), at(high)),
        Markup('<circle class="ours" cx="{}" cy="13" r="3.5"/>').format(at(ours)),
    ]
    if claim.kind == "difference":
        parts.insert(1, Markup('<path class="zero" d="M{} 0V26"/>').format(at(0.0)))
    return Markup('<svg class="interval" viewBox="0 0 {:.0f} {:.0f}" aria-hidden="true">{}</svg>').format(
        WIDTH, HEIGHT, Markup("").join(parts)
    )
