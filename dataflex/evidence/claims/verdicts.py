"""From an estimate to a verdict. Nothing here is green without power.

A claim about a value asks whether our number is the published one within the margin that was registered; one
about a difference, whether it has the published sign and, where models and data are the paper's, its size.

* reproduced: two one-sided tests put our number within the margin of the published one; a difference has
  its sign, too, in a test adjusted for its table (Holm), and our runs could have seen an effect of the
  published size with probability .8. Where only signs can be asked for, sign and power are enough.
* contradicted: the interval lies outside of the margin, or the sign is shown to be the other one.
* underpowered: an effect of the published size could not have been seen.
* consistent: none of these; our runs neither show nor exclude what was published.
* protocol-unknown: how the published value was measured is not known well enough to put ours beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dataflex.evidence.claims.judgement import Verdict
from dataflex.evidence.statistics.estimate import Estimate

ALPHA = 0.05
Told = tuple[Verdict, str]
"""A verdict and one sentence on why."""
ONE_SEED = "one seed tells nothing of what another would give"
NO_SPREAD = "the seeds agree to the last digit: nothing is known of how they differ"
CHANCE = "both accuracies lie within two standard errors of guessing: no difference can be read off them"


@dataclass(frozen=True)
class Effect:
    """A difference of two methods.

    Attributes:
        estimate: ours.
        published: the paper's, in the same unit.
        p_value: that ours is zero, adjusted for the family.
        at_chance: whether both methods answer as a guesser does.
        family: comparisons that are looked at together.
    """

    estimate: Estimate
    published: float
    p_value: float
    at_chance: bool = False
    family: int = 1

    @property
    def shown(self) -> int:
        """1 or -1 if our difference has the published sign or the other one; 0 if it may be zero."""
        if self.p_value > ALPHA or self.at_chance or self.published == 0:
            return 0
        return 1 if self.estimate.value * self.published > 0 else -1

    @property
    def detectable(self) -> float | None:
        """The smallest effect that would have been seen among so many; None where nothing is known."""
        return self.estimate.detectable(level=1 - ALPHA / self.family)

    @property
    def powered(self) -> bool:
        """Whether an effect of the published size could have been seen."""
        least = self.detectable
        return least is not None and least <= abs(self.published)


def of_value(
    estimate: Estimate, published: float, margin: float, unknown: Sequence[str], predicted: bool | None
) -> Told:
    """The verdict on a published value.

    Args:
        estimate: ours.
        published: the paper's, in the same unit.
        margin: half width of what counts as the same.
        unknown: parts of its protocol that nobody states.
        predicted: whether it lies in the prediction interval of one further run of ours; None with one seed.
    """
    if unknown:
        return "protocol-unknown", f"not published: {', '.join(unknown)}"
    interval = estimate.interval()
    if interval is None:
        return "underpowered", ONE_SEED
    if estimate.error == 0:
        return "underpowered", NO_SPREAD
    if estimate.equivalence(published - margin, published + margin) <= ALPHA:
        return "reproduced", f"equivalent within {margin:g}"
    if interval[0] > published + margin or interval[1] < published - margin:
        return "contradicted", f"the interval lies more than {margin:g} away"
    least = estimate.detectable()
    if least is None or least > margin:
        return "underpowered", f"a deviation of {margin:g} could not have been seen"
    if not predicted:
        return "underpowered", "outside of the prediction interval of one run, but perhaps inside the margin"
    return "consistent", "inside the prediction interval of one run, but not shown to be equivalent"


def of_difference(effect: Effect, margin: float, *, same: bool) -> Told:
    """The verdict on a published difference.

    Args:
        effect: ours and the paper's.
        margin: half width of what counts as the same size.
        same: whether sizes can be compared: models and data are the paper's, and how it measured is known.
    """
    early = _nothing_known(effect)
    if early is not None:
        return early
    if effect.shown < 0:
        return "contradicted", "the difference has the other sign"
    if same:
        return _of_size(effect, margin)
    if not effect.powered:
        return "underpowered", "an effect of the published size could not have been seen"
    if effect.shown:
        return "reproduced", "the published sign; sizes can't be compared"
    return "consistent", "no sign is shown; sizes can't be compared"


def _of_size(effect: Effect, margin: float) -> Told:
    low, high = effect.published - margin, effect.published + margin
    interval = effect.estimate.interval()
    if interval is not None and (interval[0] > high or interval[1] < low):
        return "contradicted", f"the interval lies more than {margin:g} away from the published size"
    if not effect.powered:
        return "underpowered", "an effect of the published size could not have been seen"
    if effect.shown and effect.estimate.equivalence(low, high) <= ALPHA:
        return "reproduced", f"the published sign, and its size within {margin:g}"
    return "consistent", "the published size is not excluded, but not shown either"


def of_ordering(effects: Sequence[Effect]) -> Told:
    """The verdict on an ordering.

    Args:
        effects: of all pairs, the one that the paper has ahead less the other.
    """
    for effect in effects:
        early = _nothing_known(effect)
        if early is not None:
            return early
    reverse = sum(effect.shown < 0 for effect in effects)
    if reverse:
        return "contradicted", f"{reverse} of {len(effects)} pairs are in the other order"
    blind = sum(not effect.powered for effect in effects)
    if blind:
        return "underpowered", f"{blind} of {len(effects)} pairs are too near to each other to be told apart"
    right = sum(effect.shown > 0 for effect in effects)
    if right == len(effects):
        return "reproduced", f"all {right} pairs are in the published order"
    return (
        "consistent",
        f"{right} of {len(effects)} pairs are shown in the published order, none in the other",
    )


def _nothing_known(effect: Effect) -> Told | None:
    if not effect.estimate.known:
        return "underpowered", ONE_SEED
    if effect.estimate.error == 0:
        return "underpowered", NO_SPREAD
    return ("underpowered", CHANCE) if effect.at_chance else None
