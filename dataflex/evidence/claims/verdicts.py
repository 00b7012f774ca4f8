"""From an estimate to a verdict. Nothing here is green without power.

A claim about a value asks whether our number is the published one within the margin that was registered; one
about a difference, whether it has the published sign and, where sizes can be compared, its size.

What was published is one run, or one pair of runs: it scatters as ours do. It is excluded only where one
further run of ours, or pair of runs, would hardly give it, however well the mean of ours is known.

* reproduced: two one-sided tests put our number within the margin of the published one; a difference has
  its sign, too, in a test adjusted for its table (Holm), and our runs could have seen an effect of the size
  that is asked for with probability .8. Where only signs can be asked for, sign and power are enough.
* contradicted: the interval lies outside of the margin, or the sign is shown to be the other one; and what
  was published lies outside of the prediction interval of one further run or pair of runs.
* underpowered: an effect of the size that is asked for could not have been seen, or the runs are no evidence.
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
REPEATED = "two seeds of a method left the same outcome: they are one run"
CHANCE = "right as often as a guesser, within two standard errors: that tells nothing of what was learned"


@dataclass(frozen=True)
class Effect:
    """A difference of two methods.

    Attributes:
        estimate: ours.
        prediction: what one further pair of runs would give.
        published: the paper's, in the same unit.
        p_value: that ours is zero, adjusted for the family.
        least: the size that our runs have to be able to see: the published one where sizes can be compared,
            else the smallest of interest that was registered.
        sizes: whether sizes can be compared: models and data are the paper's, and how it measured is known.
        flaw: why the runs are no evidence; None where they are.
        family: comparisons that are looked at together.
    """

    estimate: Estimate
    prediction: Estimate
    published: float
    p_value: float
    least: float
    sizes: bool
    flaw: str | None = None
    family: int = 1

    @property
    def shown(self) -> int:
        """1 or -1 if our difference has the published sign or the other one; 0 if it may be zero."""
        if self.p_value > ALPHA or self.flaw is not None or self.published == 0:
            return 0
        return 1 if self.estimate.value * self.published > 0 else -1

    @property
    def excluded(self) -> bool:
        """Whether one further pair of runs would hardly give the published size, or else its sign."""
        if self.sizes:
            return _outside(self.published, self.prediction)
        return self.prediction.sign * self.published < 0

    @property
    def detectable(self) -> float | None:
        """The smallest effect that would have been seen among so many; None where nothing is known."""
        return self.estimate.detectable(level=1 - ALPHA / self.family)

    @property
    def powered(self) -> bool:
        """Whether an effect of the size that is asked for could have been seen."""
        smallest = self.detectable
        return smallest is not None and smallest <= self.least


def of_value(
    estimate: Estimate,
    prediction: Estimate,
    published: float,
    margin: float,
    unknown: Sequence[str] = (),
    flaw: str | None = None,
) -> Told:
    """The verdict on a published value.

    Args:
        estimate: ours.
        prediction: what one further run of ours would give.
        published: the paper's, in the same unit.
        margin: half width of what counts as the same.
        unknown: parts of its protocol that nobody states.
        flaw: why the runs are no evidence; None where they are.
    """
    if unknown:
        return "protocol-unknown", f"not published: {', '.join(unknown)}"
    interval = estimate.interval()
    if interval is None:
        return "underpowered", ONE_SEED
    if flaw is not None:
        return "underpowered", flaw
    low, high = published - margin, published + margin
    if estimate.equivalence(low, high) <= ALPHA:
        return "reproduced", f"equivalent within {margin:g}"
    away, excluded = interval[0] > high or interval[1] < low, _outside(published, prediction)
    if away and excluded:
        return (
            "contradicted",
            f"the interval lies more than {margin:g} away, and one further run would hardly give this number",
        )
    least = estimate.detectable()
    if least is None or least > margin:
        return "underpowered", f"a deviation of {margin:g} could not have been seen"
    if excluded:
        return "consistent", "outside of the prediction interval of one run, but perhaps inside the margin"
    return "consistent", "inside the prediction interval of one run, but not shown to be equivalent"


def of_difference(effect: Effect, margin: float) -> Told:
    """The verdict on a published difference.

    Args:
        effect: ours and the paper's.
        margin: half width of what counts as the same size.
    """
    early = _nothing_known(effect)
    if early is not None:
        return early
    if effect.shown < 0 and effect.excluded:
        return "contradicted", "the difference has the other sign"
    if effect.sizes:
        return _of_size(effect, margin)
    if not effect.powered:
        return "underpowered", f"the smallest effect of interest, {effect.least:g}, could not have been seen"
    if effect.shown > 0:
        return "reproduced", "the published sign; sizes can't be compared"
    if effect.shown < 0:
        return "consistent", "the other sign, but one further pair of runs may well have the published one"
    return "consistent", "no sign is shown; sizes can't be compared"


def _of_size(effect: Effect, margin: float) -> Told:
    low, high = effect.published - margin, effect.published + margin
    interval = effect.estimate.interval()
    away = interval is not None and (interval[0] > high or interval[1] < low)
    if away and effect.excluded:
        return (
            "contradicted",
            f"the interval lies more than {margin:g} away from the published size, "
            "and one further pair of runs would hardly give it",
        )
    if not effect.powered:
        return "underpowered", "an effect of the published size could not have been seen"
    if effect.shown > 0 and effect.estimate.equivalence(low, high) <= ALPHA:
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
    reverse = sum(effect.shown < 0 and effect.excluded for effect in effects)
    if reverse:
        return "contradicted", f"{reverse} of {len(effects)} pairs are in the other order"
    blind = sum(not effect.powered for effect in effects)
    if blind:
        return "underpowered", f"in {blind} of {len(effects)} pairs such an effect could not have been seen"
    right = sum(effect.shown > 0 for effect in effects)
    if right == len(effects):
        return "reproduced", f"all {right} pairs are in the published order"
    return "consistent", f"{right} of {len(effects)} pairs are shown in the published order, none is excluded"


def _nothing_known(effect: Effect) -> Told | None:
    if not effect.estimate.known:
        return "underpowered", ONE_SEED
    return None if effect.flaw is None else ("underpowered", effect.flaw)


def _outside(number: float, prediction: Estimate) -> bool:
    interval = prediction.interval()
    return interval is not None and not interval[0] <= number <= interval[1]
