"""Every verdict, at both sides of the line where it begins."""

import math

import pytest

from dataflex.evidence.claims.verdicts import (
    CHANCE,
    NO_SPREAD,
    ONE_SEED,
    Effect,
    of_difference,
    of_ordering,
    of_value,
)
from dataflex.evidence.statistics.estimate import Estimate

ONE = Estimate(1.0, math.inf, 0)
"""What one seed gives."""


def effect(value, error, published=1.0, freedom=math.inf, *, at_chance=False):
    estimate = Estimate(value, error, freedom)
    return Effect(estimate, published, estimate.p_value(), at_chance)


@pytest.mark.parametrize(
    ("value", "error", "predicted", "verdict"),
    [
        # Equivalent within .5: 1.645 errors from each end.
        (10.0, 0.5 / 1.65, True, "reproduced"),
        (10.0, 0.5 / 1.64, True, "underpowered"),
        # The interval, 1.96 errors, lies outside of 9.5 to 10.5.
        (10.5 + 1.97 * 0.1, 0.1, False, "contradicted"),
        # A deviation of .5 is seen with 2.80 errors: but this one is neither shown to be in nor out.
        (10.4, 0.5 / 2.81, True, "consistent"),
        (10.4, 0.5 / 2.79, True, "underpowered"),
        (10.4, 0.5 / 2.81, False, "underpowered"),
    ],
)
def test_a_value(value, error, predicted, verdict):
    assert of_value(Estimate(value, error), 10.0, 0.5, (), predicted)[0] == verdict


def test_a_value_of_an_unknown_protocol_is_never_judged():
    for value in (10.0, 99.0):
        verdict, reason = of_value(Estimate(value, 1e-6), 10.0, 0.5, ("shots", "prompt"), True)
        assert (verdict, reason) == ("protocol-unknown", "not published: shots, prompt")


def test_one_seed_shows_nothing():
    assert of_value(ONE, 1.0, 9.0, (), None) == ("underpowered", ONE_SEED)
    lone = Effect(ONE, 1.0, 1.0)
    assert of_difference(lone, 9.0, same=True) == ("underpowered", ONE_SEED)
    assert of_ordering([lone]) == ("underpowered", ONE_SEED)


@pytest.mark.parametrize(
    ("one", "verdict"),
    [
        (effect(1.0, 0.1), "reproduced"),
        # A published size of 1 is seen with 2.80 errors.
        (effect(1.0, 1 / 2.81), "consistent"),
        (effect(1.0, 1 / 2.79), "underpowered"),
        (effect(-1.0, 0.3), "contradicted"),
        # The sign is right, the size is not: .2 + 1.96 x .1 < 1 - .5.
        (effect(0.25, 0.1), "contradicted"),
        (effect(0.0, 0.1), "contradicted"),
        # Six seeds see less than the normal distribution would.
        (effect(1.0, 1 / 2.81, freedom=5), "underpowered"),
    ],
)
def test_a_difference_at_the_papers_own_scale(one, verdict):
    assert of_difference(one, 0.5, same=True)[0] == verdict


@pytest.mark.parametrize(
    ("one", "verdict"),
    [
        (effect(5.0, 0.1), "reproduced"),
        (effect(0.3, 0.1), "reproduced"),
        (effect(-0.3, 0.1), "contradicted"),
        # Nothing is shown: how large it is elsewhere says nothing of how large it has to be here.
        (effect(0.001, 0.1), "consistent"),
        (effect(0.6, 1 / 2.81), "consistent"),
        (effect(0.6, 1 / 2.79), "underpowered"),
        # Shown, but by luck: so small an effect is seen once in a while only.
        (effect(5.0, 0.9), "underpowered"),
    ],
)
def test_a_sign_elsewhere(one, verdict):
    assert of_difference(one, 0.5, same=False)[0] == verdict


def test_guessing_is_no_evidence():
    guess = effect(1.0, 0.01, at_chance=True)
    for same in (True, False):
        assert of_difference(guess, 0.5, same=same) == ("underpowered", CHANCE)
    assert of_ordering([effect(1.0, 0.01), guess])[0] == "underpowered"


def test_an_ordering():
    right, wrong, open_ = effect(1.0, 0.1), effect(-1.0, 0.1), effect(0.4, 1 / 2.81)
    assert of_ordering([right, right])[0] == "reproduced"
    assert of_ordering([right, wrong])[0] == "contradicted"
    assert of_ordering([right, open_])[0] == "consistent"
    assert of_ordering([right, effect(1.0, 5.0)])[0] == "underpowered"


def test_nothing_is_green_without_power():
    for error in (0.05, 0.2, 0.3, 0.34, 0.36, 0.4, 1.0, 5.0):
        for value in (-2.0, 0.0, 0.5, 1.0, 2.0):
            one = effect(value, error)
            for same in (True, False):
                if of_difference(one, 3.0, same=same)[0] == "reproduced":
                    assert 2.8016 * error <= 1.0


def test_many_comparisons_need_more_power():
    alone = Effect(Estimate(1.0, 1 / 2.81), 1.0, 0.001)
    among = Effect(Estimate(1.0, 1 / 2.81), 1.0, 0.001, family=66)
    assert of_difference(alone, 0.5, same=False)[0] == "reproduced"
    assert of_difference(among, 0.5, same=False)[0] == "underpowered"


def test_seeds_that_agree_to_the_last_digit_tell_nothing():
    exact = Effect(Estimate(1.0, 0.0, 1), 1.0, 0.0)
    assert of_value(Estimate(1.0, 0.0, 1), 1.0, 0.5, (), True) == ("underpowered", NO_SPREAD)
    assert of_difference(exact, 0.5, same=True) == ("underpowered", NO_SPREAD)


def test_no_difference_has_no_sign():
    assert of_difference(effect(0.3, 0.01, published=0.0), 0.5, same=True)[0] != "contradicted"
