"""How the claims of the paper stand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dataflex.evidence.claims.judgement import Judgement
from dataflex.report.claims import counts
from dataflex.report.findings.finding import Finding
from dataflex.report.standing import OPEN


def findings(judgements: Sequence[Judgement]) -> Iterator[Finding]:
    """One, where there are claims: how many are decided, and how all others stand."""
    if not judgements:
        return
    told = [count for count in counts(judgements) if count.number]
    decided = [f"{count.number} {count.standing}" for count in told if count.standing in OPEN]
    others = [
        f"{count.number} {count.standing.replace('-', ' ')}" for count in told if count.standing not in OPEN
    ]
    asked = f"{len(judgements)} claims of the paper" if len(judgements) > 1 else "the one claim of the paper"
    said = f"Of {asked}: {', '.join(decided)}." if decided else f"None of {asked} is decided."
    yield Finding(said, f"{', '.join(others)}." if others else "", "verdicts", "verdicts")
