"""How a judgement stands on the page: its verdict, and whether what is not judged was run at all."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dataflex.evidence.claims.judgement import MEANINGS, VERDICTS, Judgement

NOT_RUN, NOT_COMPARABLE = "not-run", "not-comparable"
ABSENT = re.compile(r"\b(was|were) not run$|^no (job|cell) ", re.IGNORECASE)
"""Reasons of the judge for a claim that no result speaks to because nothing was run."""
STANDINGS = tuple(dict.fromkeys((*VERDICTS[:-1], NOT_COMPARABLE, *VERDICTS[-1:])))
"""In the order in which they are counted and shown."""
OPEN = frozenset({"reproduced", "consistent", "contradicted"})
"""Those that say something of the claim: shown unfolded."""
TOLD = {
    NOT_RUN: "nothing was run that speaks to it",
    NOT_COMPARABLE: "what was run is not what the claim is about, or stands elsewhere: see the reason",
}
MEANT: Mapping[str, str] = {str(name): words for name, words in MEANINGS.items()} | TOLD
NAMES = re.compile(r"^[^:]+: (?=the )")
"""The two methods before a reason that is the same for other pairs."""


def standing(judgement: Judgement) -> str:
    """The verdict; ``not-comparable`` where it is ``not-run`` and not because nothing was run."""
    if judgement.verdict == NOT_RUN and not ABSENT.search(judgement.reason):
        return NOT_COMPARABLE
    return judgement.verdict


def meaning(name: str) -> str:
    """What a standing means, in words."""
    return MEANT[name]


def shared_reason(judgement: Judgement) -> str:
    """The reason without the names of methods, by which claims are put together."""
    if standing(judgement) == NOT_RUN:
        return "nothing was run for it"
    return NAMES.sub("", judgement.reason)
