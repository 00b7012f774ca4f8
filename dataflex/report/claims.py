"""Judged claims as the page shows them: put together by verdict and reason, a row each."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dataflex.evidence.claims.judgement import Judgement
from dataflex.evidence.results import CellResult
from dataflex.evidence.store.identity import short
from dataflex.report.quantities import decimals, decimals_of, half, interval, number, significant
from dataflex.report.standing import NOT_RUN, OPEN, STANDINGS, meaning, shared_reason, standing
from dataflex.report.subjects import ours

WIDTH, HEIGHT, EDGE = 180.0, 26.0, 7.0
MISSING = re.compile(r"^(.+) (?:was|were) not run$")
"""The judge's words for methods without results."""


@dataclass(frozen=True)
class Count:
    """How many claims stand so, and what it means."""

    standing: str
    number: int
    meaning: str


@dataclass(frozen=True)
class Row:
    """A judged claim in the words and forms of the page.

    ``ours_is`` says what our number is of; ``links`` are the short ids of its results with their anchors,
    None of those that are not on the page.
    """

    judgement: Judgement
    standing: str
    published: str
    margin: str
    ours: str
    ours_is: str
    interval: str
    detectable: str
    p_value: str
    drawing: Markup
    links: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class Group:
    """Claims of one rung that stand alike for the same reason.

    Attributes:
        standing: see ``standing``.
        rung: whose results they were judged by.
        reason: that they share.
        lacking: methods without results, with how many of the claims lack each.
        rows: the claims.
        opened: whether it is shown unfolded.
    """

    standing: str
    rung: str
    reason: str
    lacking: tuple[tuple[str, int], ...]
    rows: tuple[Row, ...]

    @property
    def opened(self) -> bool:
        """Verdicts that say something of the claim are read first."""
        return self.standing in OPEN

    @property
    def bare(self) -> bool:
        """Whether none of its rows has a number of ours."""
        return all(row.judgement.ours is None for row in self.rows)


@dataclass(frozen=True)
class Line:
    """A line of the matrix: the claims about one model and scale of one of the paper's tables."""

    rung: str
    label: str
    claims: tuple[tuple[str, str], ...]
    counts: tuple[Count, ...]


def counts(judgements: Sequence[Judgement]) -> list[Count]:
    """The standings in their order, those without a claim too."""
    found = Counter(map(standing, judgements))
    return [Count(name, found[name], meaning(name)) for name in STANDINGS]


def groups(
    judgements: Sequence[Judgement], anchors: Mapping[str, str], known: Mapping[str, CellResult]
) -> list[Group]:
    """The claims put together, in the order of the standings.

    Args:
        judgements: of the claims.
        anchors: of the results on the page, by id.
        known: the results on the page, by id.
    """
    found: dict[tuple[str, str, str], list[Judgement]] = {}
    for judgement in sorted(judgements, key=lambda one: STANDINGS.index(standing(one))):
        place = (standing(judgement), judgement.rung, shared_reason(judgement))
        found.setdefault(place, []).append(judgement)
    return [
        Group(
            *place, _lacking(own) if place[0] == NOT_RUN else (), tuple(row(j, anchors, known) for j in own)
        )
        for place, own in found.items()
    ]


def _lacking(judgements: Sequence[Judgement]) -> tuple[tuple[str, int], ...]:
    found: Counter[str] = Counter()
    for judgement in judgements:
        if told := MISSING.match(judgement.reason):
            found.update(told[1].split(", "))
    return tuple(sorted(found.items(), key=lambda entry: (-entry[1], entry[0])))


def matrix(judgements: Sequence[Judgement]) -> list[Line]:
    """All claims at a glance: a line for every model and scale of the paper, those without any run last."""
    found: dict[tuple[str, str], list[Judgement]] = {}
    for judgement in judgements:
        claim = judgement.claim
        words = (claim.table.replace("_", " ").removeprefix("data "), claim.model, claim.scale)
        found.setdefault((judgement.rung, ", ".join(filter(None, words))), []).append(judgement)
    return [
        Line(
            rung,
            label,
            tuple(
                (standing(one), one.claim.statement)
                for one in sorted(own, key=lambda one: STANDINGS.index(standing(one)))
            ),
            tuple(count for count in counts(own) if count.number),
        )
        for (rung, label), own in sorted(found.items(), key=lambda entry: _nothing_run(entry[1]))
    ]


def without_results(judgements: Sequence[Judgement], rungs: Sequence[str]) -> list[tuple[str, int]]:
    """Rungs that claims are registered for and that have no results, with the number of claims."""
    return list(Counter(one.rung for one in judgements if one.rung not in rungs).items())


def _nothing_run(judgements: Sequence[Judgement]) -> bool:
    return all(standing(one) == NOT_RUN for one in judgements)


def row(judgement: Judgement, anchors: Mapping[str, str], known: Mapping[str, CellResult]) -> Row:
    """One claim; see ``groups``."""
    claim = judgement.claim
    signed, digits = claim.kind == "difference", decimals(claim.published, claim.margin)
    error = half(judgement.interval)
    own = decimals_of(error) if error is not None else digits
    p_value = ""
    if judgement.p_value is not None:
        p_value = "p < 0.001" if judgement.p_value < 0.001 else f"p = {judgement.p_value:.3f}"
    return Row(
        judgement,
        standing(judgement),
        published="order" if claim.kind == "ordering" else number(claim.published, digits, signed),
        margin="" if claim.margin is None else f"± {significant(claim.margin)}",
        ours=number(judgement.ours, own, signed),
        ours_is=ours(judgement, known),
        interval=interval(judgement.interval, own, signed),
        detectable=significant(judgement.detectable),
        p_value=p_value,
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
