"""Mutants and what became of them: the side that starts their process."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataflex.golden.cases import Case
from dataflex.golden.platforms import RECORDED, VARIANTS
from dataflex.golden.starting import Workplace

RECORDS = Path(__file__).parents[2] / "reproductions" / "golden"


@dataclass(frozen=True)
class Fate:
    """What became of one mutant, or of the run without any change."""

    label: str
    verdict: str
    """changed or unchanged, of the run without a change; of a mutant killed, failed, no effect, idle or survived.

    failed: the run came to no end; no effect: every bit of the run is that of the run without a change; idle:
    one per cent is within the tolerances, and twice the value, a hundred times the change, is so too.
    """
    module: str
    point: str
    findings: list[dict[str, Any]]
    error: str


def fates(cases: list[Case], sample: int | None, told: Callable[[Fate], None] = lambda _: None) -> list[Fate]:
    """Run mutants of some components.

    Args:
        cases: of them.
        sample: mutants with an effect of each; None: all that its golden run reaches.
        told: called with each as it ends.
    """
    found: list[Fate] = []

    def ended(line: str) -> None:
        found.append(Fate(**json.loads(line)))
        told(found[-1])

    asked = {"cases": [case.label for case in cases], "recorded": str(RECORDS), "sample": sample}
    with Workplace() as workplace:
        workplace.work("tests.golden.mutation_worker", asked, VARIANTS[RECORDED], ended)
    return found
