"""What the results of a rung say of one claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from dataflex.evidence.claims.registry import Claim
from dataflex.evidence.statistics.estimate import Interval

Verdict = Literal["reproduced", "consistent", "underpowered", "contradicted", "protocol-unknown", "not-run"]
VERDICTS: tuple[Verdict, ...] = (
    "reproduced",
    "consistent",
    "contradicted",
    "underpowered",
    "protocol-unknown",
    "not-run",
)
"""In the order in which they are counted and shown."""


MEANINGS: Mapping[Verdict, str] = {
    "reproduced": "shown to be what was published: within the margin that was registered; where models and "
    "texts are others, of its sign, on that rung alone",
    "consistent": "what was published is neither shown nor excluded",
    "contradicted": "shown to be something else than what was published, and not to be one more run of ours; "
    "where models and texts are others, of its sign, on that rung alone",
    "underpowered": "an effect of the size that is asked for could not have been seen, or the runs are no "
    "evidence",
    "protocol-unknown": "the paper does not say how its number came about, so that ours may be another one",
    "not-run": "there is no result that speaks to it, or none that belong together",
}


@dataclass(frozen=True)
class Judgement:
    """A verdict with what it rests on.

    Attributes:
        claim: that was judged.
        rung: of the results, as ``demo`` or ``paper``.
        verdict: one of ``VERDICTS``.
        reason: one sentence for a reader who knows the claim.
        ours: our number, in the claim's unit; None without results.
        interval: 95 % confidence interval of ``ours``; None where it can't be known, as with one seed.
        detectable: smallest effect that would have been seen with probability .8, in the claim's unit.
        p_value: of the difference, adjusted for the family (Holm); None where nothing was tested.
        seeds: that the number rests on.
        questions: that it rests on; None where it does not rest on questions.
        results: ids of the results it was computed from.
        elsewhere: whether models and texts are not the paper's: it says whether a sign is found there, too,
            and nothing of the paper's own models.
    """

    claim: Claim
    rung: str
    verdict: Verdict
    reason: str
    ours: float | None = None
    interval: Interval | None = None
    detectable: float | None = None
    p_value: float | None = None
    seeds: tuple[int, ...] = ()
    questions: int | None = None
    results: tuple[str, ...] = ()
    elsewhere: bool = False

    def as_dict(self) -> dict[str, Any]:
        """All of it in JSON types."""
        return asdict(self)
