"""Every verdict, at both sides of the line where it begins."""

import math

import pytest

from dataflex.evidence.claims.verdicts import (
    CHANCE,
    NO_SPREAD,
    ONE_SEED,
    REPEATED,
    Effect,
    of_difference,
    of_ordering,
    of_value,
)
from dataflex.evidence.statistics.estimate import Estimate
from dataflex.evidence.statistics.prediction import further_run
from dataflex.evidence.statistics.seeds import of_mean

ONE = Estimate(1.0, math.inf, 0)
"""What one seed gives."""


def effect(value, error, published=1.0, freedom=math.inf, *, run=0.0, least=None, sizes=True, flaw=None):
    """``run``: how much one more pair of runs scatters, beside the error of the mean."""
    estimate = Estimate(value, error, freedom)
    return Effect(
        estimate,
        Estimate(value, math.hypot(error, run), freedom),
        published,
        estimate.p_value(),
        abs(published) if least is None else least,
        sizes,
        flaw,
    )


@pytest.mark.parametrize(
    ("value", "error", "run", "verdict"),
    [
        # Equivalent within .5: 1.645 errors from each end.
        (10.0, 0.5 / 1.65, 0.0, "reproduced"),
        (10.0, 0.5 / 1.64, 0.0, "underpowered"),
        # The interval, 1.96 errors, lies outside of 9.5 to 10.5, and so does what one more run gives of 10.
        (10.5 + 1.97 * 0.1, 0.1, 0.0, "contradicted"),
        (10.5 + 1.97 * 0.1, 0.1, 0.34, "contradicted"),
        (10.5 + 1.97 * 0.1, 0.1, 0.35, "consistent"),
        # A deviation of .5 is seen with 2.80 errors: but this one is neither shown to be in nor out.
        (10.4, 0.5 / 2.81, 1.0, "consistent"),
        (10.4, 0.5 / 2.79, 1.0, "underpowered"),
        # Not one more run of ours, but perhaps inside the margin: that is no lack of power.
        (10.4, 0.5 / 2.81, 0.0, "consistent"),
    ],
)
def test_a_value(value, error, run, verdict):
    prediction = Estimate(value, math.hypot(error, run))
    assert of_value(Estimate(value, error), prediction, 10.0, 0.5)[0] == verdict


def test_what_one_more_run_of_ours_gives_is_not_contradicted():
    """Six seeds between .5 and 9.5: their mean is known to lie above 1, one more of them is not."""
    runs = [0.5, 2.0, 5.0, 5.0, 8.0, 9.5]
    assert of_mean(runs).interval()[0] > 0.5
    low, high = further_run(runs).interval()
    assert low < 0 < high
    assert of_value(of_mean(runs), further_run(runs), 0.0, 0.5)[0] == "underpowered"
    assert of_value(of_mean(runs), further_run(runs), low - 0.1, 0.5)[0] == "contradicted"
    pairs = Effect(of_mean(runs), further_run(runs), 0.1, 0.001, 0.1, True)
    assert of_difference(pairs, 0.5)[0] == "underpowered"
    pairs = Effect(of_mean(runs), further_run(runs), low - 0.1, 0.001, 99.0, True)
    assert of_difference(pairs, 0.5)[0] == "contradicted"


def test_a_value_of_an_unknown_protocol_is_never_judged():
    for value in (10.0, 99.0):
        one = Estimate(value, 1e-6)
        verdict, reason = of_value(one, one, 10.0, 0.5, ("shots", "prompt"))
        assert (verdict, reason) == ("protocol-unknown", "not published: shots, prompt")


def test_one_seed_shows_nothing():
    assert of_value(ONE, ONE, 1.0, 9.0) == ("underpowered", ONE_SEED)
    lone = Effect(ONE, ONE, 1.0, 1.0, 1.0, True)
    assert of_difference(lone, 9.0) == ("underpowered", ONE_SEED)
    assert of_ordering([lone]) == ("underpowered", ONE_SEED)


@pytest.mark.parametrize(
    ("one", "verdict"),
    [
        (effect(1.0, 0.1), "reproduced"),
        # A published size of 1 is seen with 2.80 errors.
        (effect(1.0, 1 / 2.81), "consistent"),
        (effect(1.0, 1 / 2.79), "underpowered"),
        (effect(-1.0, 0.3), "contradicted"),
        # One more pair of runs gives the published 1 within 1.96 of its errors.
        (effect(-1.0, 0.3, run=0.9), "contradicted"),
        (effect(-1.0, 0.3, run=1.1), "consistent"),
        # The sign is right, the size is not: .2 + 1.96 x .1 < 1 - .5.
        (effect(0.25, 0.1), "contradicted"),
        (effect(0.25, 0.1, run=0.5), "consistent"),
        (effect(0.0, 0.1), "contradicted"),
        # Six seeds see less than the normal distribution would.
        (effect(1.0, 1 / 2.81, freedom=5), "underpowered"),
    ],
)
def test_a_difference_at_the_papers_own_scale(one, verdict):
    assert of_difference(one, 0.5)[0] == verdict


def sign(value, error, **given):
    return effect(value, error, least=1.0, sizes=False, **given)


@pytest.mark.parametrize(
    ("one", "verdict"),
    [
        (sign(5.0, 0.1), "reproduced"),
        (sign(0.3, 0.1), "reproduced"),
        (sign(-0.3, 0.1), "contradicted"),
        # The sign of the mean is shown, but one more pair of runs may have the published one.
        (sign(-0.3, 0.1, run=0.2), "consistent"),
        # Nothing is shown: how large it is elsewhere says nothing of how large it has to be here.
        (sign(0.001, 0.1), "consistent"),
        (sign(0.6, 1 / 2.81), "consistent"),
        (sign(0.6, 1 / 2.79), "underpowered"),
        # Shown, but by luck: so small an effect is seen once in a while only.
        (sign(5.0, 0.9), "underpowered"),
        (sign(0.3, 0.1, published=-1.0), "contradicted"),
        (sign(-0.3, 0.1, published=-1.0), "reproduced"),
        (sign(0.3, 0.1, published=0.0), "consistent"),
    ],
)
def test_a_sign_elsewhere(one, verdict):
    assert of_difference(one, 0.5)[0] == verdict


@pytest.mark.parametrize("published", [0.1, 1.0, 11.2])
def test_the_size_published_of_another_model_is_no_gauge_of_power(published):
    for error, verdict in ((1 / 2.81, "reproduced"), (1 / 2.79, "underpowered")):
        assert of_difference(sign(3.0, error, published=published), 0.5)[0] == verdict
        assert of_ordering([sign(3.0, error, published=published)])[0] == verdict


@pytest.mark.parametrize("flaw", [CHANCE, NO_SPREAD, REPEATED])
def test_runs_that_are_no_evidence_give_no_verdict(flaw):
    exact = Estimate(1.0, 0.01)
    assert of_value(exact, exact, 1.0, 0.5, (), flaw) == ("underpowered", flaw)
    assert of_value(exact, exact, 9.0, 0.5, (), flaw) == ("underpowered", flaw)
    for value in (1.0, -1.0):
        for sizes in (True, False):
            assert of_difference(effect(value, 0.01, sizes=sizes, flaw=flaw), 0.5) == ("underpowered", flaw)
        assert of_ordering([effect(1.0, 0.01), effect(value, 0.01, flaw=flaw)]) == ("underpowered", flaw)


def test_an_ordering():
    right, wrong, open_ = effect(1.0, 0.1), effect(-1.0, 0.1), effect(0.4, 1 / 2.81)
    assert of_ordering([right, right])[0] == "reproduced"
    assert of_ordering([right, wrong])[0] == "contradicted"
    assert of_ordering([right, effect(-1.0, 0.1, run=1.1)])[0] == "consistent"
    assert of_ordering([right, open_])[0] == "consistent"
    assert of_ordering([right, effect(1.0, 5.0)])[0] == "underpowered"


def test_nothing_is_green_without_power():
    for error in (0.05, 0.2, 0.3, 0.34, 0.36, 0.4, 1.0, 5.0):
        for value in (-2.0, 0.0, 0.5, 1.0, 2.0):
            for published in (-2.0, 0.3, 1.0):
                for least, sizes in ((None, True), (0.7, False)):
                    one = effect(value, error, published, least=least, sizes=sizes)
                    seen = abs(published) if sizes else least
                    for verdict in (of_difference(one, 3.0)[0], of_ordering([one])[0]):
                        assert verdict != "reproduced" or 2.8016 * error <= seen


def test_many_comparisons_need_more_power():
    exact = Estimate(1.0, 1 / 2.81)
    alone = Effect(exact, exact, 1.0, 0.001, 1.0, False)
    among = Effect(exact, exact, 1.0, 0.001, 1.0, False, family=66)
    assert of_difference(alone, 0.5)[0] == "reproduced"
    assert of_difference(among, 0.5)[0] == "underpowered"


def test_no_difference_has_no_sign():
    assert of_difference(effect(0.3, 0.01, published=0.0), 0.5)[0] != "contradicted"
