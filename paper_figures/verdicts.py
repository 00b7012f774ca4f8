"""The paper's claims: published and ours, interval, smallest detectable effect, verdict, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from string import ascii_lowercase

from dataflex.evidence.claims.judgement import VERDICTS, Judgement
from dataflex.evidence.claims.registry import Claim
from dataflex.evidence.store.identity import SHOWN
from paper_figures.table import COLUMN, Table

NONE = "-"
BITS = "bits"
PRECISION = {"points": 2, "%": 2, "% of tokens": 2, "s": 0, BITS: 4}
"""Digits of our numbers after the point, by unit; three for any other."""
PAGE = 30
"""Rows that fit onto a printed page."""
Metric = tuple[str, str, str]
"""Table and metric, as the paper calls them, and unit."""
HEADER = (
    *("Claim", "Published", "Margin", "Ours", "95 % interval", "Detectable", "Seeds", "Verdict", "Why"),
)


def verdicts(judgements: Sequence[Judgement], name: str, caption: str) -> Table:
    """Make the table, a row a judgement, in their order.

    A verdict may follow from several reasons: each row has the letter of its own, the notes say what the
    letters stand for.

    Args:
        judgements: of one rung or of several; with several each row names its own.
        name: file name of the table.
        caption: one sentence.
    """
    several = len({one.rung for one in judgements}) > 1
    counts = Counter(one.verdict for one in judgements)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
    digits = _digits(judgements)
    letters = _letters(judgements)
    rows = [
        [
            (f"{one.rung}: " if several else "") + one.claim.statement,
            _published(one.claim, digits),
            NONE if one.claim.margin is None else f"± {one.claim.margin:g}",
            _ours(one, one.ours),
            _interval(one),
            _ours(one, one.detectable, signed=False),
            str(len(one.seeds)) if one.seeds else NONE,
            one.verdict,
            letters[one.verdict, _why(one)],
        ]
        for one in judgements
    ]
    return Table(
        name=name,
        caption=caption,
        header=HEADER,
        rows=rows,
        notes=[
            f"Of {len(judgements)} claims: {told}." if judgements else "No claim was judged.",
            *(_reasons(verdict, letters) for verdict in VERDICTS if counts[verdict]),
            "Margin: how far ours may lie from the published number and still count as the same, as it was "
            "registered; the paper gives no errors. Detectable: the smallest effect that is seen "
            f"with probability .8. {NONE}: not known, as an interval from one seed, or nothing to say.",
            *(
                ["Orderings have the best first; nothing is claimed of those in braces among themselves."]
                if any(one.claim.kind == "ordering" for one in judgements)
                else []
            ),
        ],
        data_header=(
            *("claim", "rung", "kind", "table", "methods", "metric", "unit", "published", "margin", "ours"),
            *("low", "high", "detectable", "p_value", "seeds", "questions", "verdict", "reason", COLUMN),
        ),
        data=[_line(one, digits) for one in judgements],
        long=len(judgements) > PAGE,
        results=[[source[:SHOWN] for source in one.results] for one in judgements],
    )


def _why(one: Judgement) -> str:
    """The reason, without the names that its row tells anyway, so that rows can share it."""
    methods = ", ".join(one.claim.methods)
    reason = one.reason.removeprefix(f"{methods}: ").removesuffix(".")
    return (
        "nothing of it was run" if reason in (f"{methods} was not run", f"{methods} were not run") else reason
    )


def _letters(judgements: Sequence[Judgement]) -> dict[tuple[str, str], str]:
    """A letter for every verdict's every reason, in the order of the notes."""
    found = dict.fromkeys((one.verdict, _why(one)) for one in judgements)
    ordered = sorted(found, key=lambda pair: VERDICTS.index(pair[0]))
    return {pair: _letter(place) for place, pair in enumerate(ordered)}


def _letter(place: int) -> str:
    """``a`` to ``z``, then ``aa``, ``ab``, ..."""
    before, last = divmod(place, len(ascii_lowercase))
    return (_letter(before - 1) if before else "") + ascii_lowercase[last]


def _reasons(verdict: str, letters: Mapping[tuple[str, str], str]) -> str:
    own = "; ".join(f"({letter}) {reason}" for (of, reason), letter in letters.items() if of == verdict)
    return f"{verdict.capitalize()}: {own}."


def _digits(judgements: Sequence[Judgement]) -> dict[Metric, int]:
    """Decimals that the paper gives a metric of a table, in a unit of the claims: the most of any number."""
    found: dict[Metric, int] = {}
    for one in judgements:
        claim = one.claim
        place = _metric(claim)
        if claim.unit == BITS:
            # Of logarithms of perplexities, which were published with one less.
            found[place] = PRECISION[BITS]
            continue
        levels = claim.levels or tuple(claim.published or 0.0 for _ in claim.cells)
        for cell, level in zip(claim.cells, levels, strict=True):
            # A share is claimed in percent.
            shift = 2 if cell.value and round(level / cell.value) == 100 else 0
            found[place] = max(found.get(place, 0), _decimals(cell.value) - shift)
        if not claim.cells and claim.published is not None:
            found[place] = max(found.get(place, 0), _decimals(claim.published))
    return found


def _metric(claim: Claim) -> Metric:
    return claim.table, claim.metric, claim.unit


def _decimals(value: float) -> int:
    """Digits after the point of a number as it was read."""
    exponent = Decimal(repr(value)).normalize().as_tuple().exponent
    return max(0, -int(exponent))


def _published(claim: Claim, digits: Mapping[Metric, int]) -> str:
    if claim.kind == "ordering":
        tiers = claim.tiers or tuple((method,) for method in claim.methods)
        return " > ".join(tier[0] if len(tier) == 1 else f"{{{', '.join(tier)}}}" for tier in tiers)
    if claim.published is None:
        return NONE
    sign = "+" if claim.kind == "difference" else ""
    return f"{claim.published:{sign}.{digits[_metric(claim)]}f} {claim.unit}"


def _ours(judgement: Judgement, value: float | None, signed: bool = True) -> str:
    """A number of ours in the claim's unit, a difference with its sign."""
    if value is None:
        return NONE
    claim = judgement.claim
    sign = "+" if signed and claim.kind == "difference" else ""
    return f"{value:{sign}.{PRECISION.get(claim.unit, 3)}f}"


def _interval(judgement: Judgement) -> str:
    if judgement.interval is None:
        return NONE
    low, high = (_ours(judgement, end) for end in judgement.interval)
    return f"[{low}, {high}]"


def _line(judgement: Judgement, digits: Mapping[Metric, int]) -> list[object]:
    claim = judgement.claim
    low, high = judgement.interval or (None, None)
    # A difference of two decimals is no decimal in binary: -.1 would be -.09999999999999432.
    published = None if claim.published is None else round(claim.published, digits[_metric(claim)])
    numbers = (published, claim.margin, judgement.ours, low, high, judgement.detectable)
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
