"""Two models, or two methods, on the same questions: which each answered rightly, and what follows from it.

Seeds alone say little where there is one or two of them. The questions are a sample, too, and a large one: a
pair of models is compared by the questions that exactly one of the two got right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dataflex.errors import UserError
from dataflex.evidence.common_answers import common_answers
from dataflex.evidence.results import CellResult
from dataflex.evidence.statistics import hierarchical, paired
from dataflex.evidence.statistics.clusters import FloatArray
from dataflex.evidence.statistics.estimate import Estimate, Interval
from dataflex.evidence.statistics.paired import McNemar

NOTHING_CONTESTED = Estimate(0.0, math.inf, 0)
"""The difference of models that answered every question alike. Their sample has no spread, which is no sign
that other questions would have none."""


@dataclass(frozen=True)
class Pairing:
    """Two sides on the same questions; accuracies are shares of them, 0 to 1.

    Attributes:
        about: what the difference is a statement about, in words.
        seed: of the two models; None where several seeds are taken together.
        ours: accuracy of the first side.
        theirs: of the second.
        difference: ours less theirs.
        bootstrap: interval of the same from drawing subjects again; None where seeds are a sample as well.
        mcnemar: test of the two models; None for several seeds, whose answers to one question are no
            independent trials.
        contested: share of the questions that exactly one of the two got right, mean over the seeds.
        effective: questions that an unpaired comparison of these sides would need to be as sure.
    """

    about: str
    seed: int | None
    ours: float
    theirs: float
    difference: Estimate
    bootstrap: Interval | None
    mcnemar: McNemar | None
    contested: float
    effective: float


def pairings(ones: Sequence[CellResult], others: Sequence[CellResult]) -> list[Pairing]:
    """Each seed's two models; then, of several seeds, these models together and the two methods.

    Errors are clustered by subject, so that the statement reaches to other questions of the kind.

    Args:
        ones: models of one method, a seed each.
        others: models of another.

    Returns:
        Nothing where the results are not about models.

    Raises:
        UserError: two were not asked the same questions.
    """
    by_seed = [{run.seed: run for run in runs} for runs in (ones, others)]
    shared = sorted(by_seed[0].keys() & by_seed[1].keys())
    if not shared or any(run.kind != "model" for run in (*ones, *others)):
        return []
    answers = common_answers([side[seed] for side in by_seed for seed in shared])
    if isinstance(answers, str):
        raise UserError(f"{answers}: compare results of one corpus")
    outcomes, subjects = answers
    ours, theirs = outcomes[: len(shared)], outcomes[len(shared) :]
    found = [
        Pairing(
            "these two models, on other questions of the kind",
            seed,
            float(one.mean()),
            float(other.mean()),
            *_of_questions(one, other, subjects),
            paired.mcnemar(one, other),
            paired.contested(one, other),
            paired.effective_questions(one, other),
        )
        for seed, one, other in zip(shared, ours, theirs, strict=True)
    ]
    if len(shared) < 2:
        return found
    one, other = ours.mean(axis=0), theirs.mean(axis=0)
    mean, effective = (float(one.mean()), float(other.mean())), paired.effective_questions(one, other)
    contested = float((ours != theirs).mean())
    together = Pairing(
        f"these {len(shared)} models of each together, on other questions of the kind",
        None,
        *mean,
        *_of_questions(one, other, subjects),
        None,
        contested,
        effective,
    )
    methods = Pairing(
        "the two methods: trained again with other seeds, on other questions of the kind",
        None,
        *mean,
        hierarchical.difference(ours, theirs, subjects) if contested else NOTHING_CONTESTED,
        None,
        None,
        contested,
        effective,
    )
    return [*found, together, methods]


def _of_questions(
    ours: FloatArray, theirs: FloatArray, subjects: Sequence[str]
) -> tuple[Estimate, Interval | None]:
    """The difference with its error over the questions, and its interval by drawing subjects again."""
    if (ours == theirs).all():
        return NOTHING_CONTESTED, None
    return paired.difference(ours, theirs, subjects), paired.bootstrap(ours, theirs, subjects)
