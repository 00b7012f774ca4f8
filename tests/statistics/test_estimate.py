import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import DescrStatsW, ttost_paired

from dataflex.evidence.statistics.estimate import Estimate
from dataflex.evidence.statistics.seeds import of_mean

FREEDOMS = [1, 2, 5, 11, 3.4, 56, 14_041]
values = st.lists(st.floats(-10, 10), min_size=2, max_size=12).filter(lambda found: np.std(found) > 1e-3)


@settings(deadline=None, max_examples=50)
@given(values, st.floats(0.5, 0.999), st.floats(-5, 5))
def test_intervals_and_tests_are_those_of_statsmodels(sample, level, null):
    found, theirs = of_mean(sample), DescrStatsW(sample)
    assert found.interval(level) == pytest.approx(theirs.tconfint_mean(1 - level), rel=1e-6, abs=1e-9)
    assert found.p_value(null) == pytest.approx(theirs.ttest_mean(null)[1], rel=1e-6, abs=1e-12)


@settings(deadline=None, max_examples=50)
@given(values, st.floats(-3, 0), st.floats(0.01, 3))
def test_equivalence_is_that_of_statsmodels(sample, low, high):
    expected = ttost_paired(np.array(sample), np.zeros(len(sample)), low, high)[0]
    assert of_mean(sample).equivalence(low, high) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@settings(deadline=None, max_examples=50)
@given(st.floats(-5, 5), st.floats(0.01, 5), st.sampled_from([*FREEDOMS, math.inf]), st.floats(-5, 5))
def test_interval_and_p_value_say_the_same(value, error, freedom, null):
    found = Estimate(value, error, freedom)
    low, high = found.interval()
    if min(abs(null - low), abs(null - high)) > 1e-9:
        assert (low <= null <= high) == (found.p_value(null) > 0.05)
    assert found.sign == (low > 0) - (high < 0)


@pytest.mark.parametrize("freedom", FREEDOMS)
@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_the_detectable_effect_has_that_power(freedom, power):
    """Two-sided, from the noncentral t distribution; its far tail is left out where scipy loses it."""
    effect = Estimate(0.0, 1.0, freedom).detectable(power=power)
    critical = stats.t.ppf(0.975, freedom)
    assert stats.nct.sf(critical, freedom, effect) == pytest.approx(power, abs=2e-3)
    assert stats.ncf.sf(critical**2, 1, freedom, effect**2) == pytest.approx(power, abs=1e-6)


@pytest.mark.parametrize("seeds", [3, 6, 10])
def test_the_detectable_effect_is_that_of_statsmodels(seeds):
    expected = TTestPower().solve_power(nobs=seeds, alpha=0.05, power=0.8)
    assert Estimate(0.0, 1 / math.sqrt(seeds), seeds - 1).detectable() == pytest.approx(expected, rel=1e-4)


def test_the_sum_of_quantiles_is_near_at_six_seeds_and_not_at_three():
    for freedom, off in ((5, 0.007), (2, 0.051)):
        exact = Estimate(0.0, 1.0, freedom).detectable()
        summed = stats.t.ppf(0.975, freedom) + stats.t.ppf(0.8, freedom)
        assert 1 - summed / exact == pytest.approx(off, abs=1e-3)
    assert Estimate(0.0, 1.0).detectable() == pytest.approx(stats.norm.ppf([0.975, 0.8]).sum())


@pytest.mark.parametrize("seeds", [3, 6])
def test_the_detectable_effect_is_seen_as_often_as_it_says(seeds):
    effect = Estimate(0.0, 1 / math.sqrt(seeds), seeds - 1).detectable()
    draws = np.random.default_rng(4).normal(effect, 1.0, size=(4_000, seeds))
    seen = np.mean([of_mean(list(row)).p_value() < 0.05 for row in draws])
    assert seen == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("seeds", [3, 6])
def test_equivalence_is_seldom_claimed_of_a_difference_as_large_as_the_margin(seeds):
    """At the margin itself the two tests claim equivalence in at most 5 %, in 5 % where the margin is wide."""
    rng = np.random.default_rng(5)
    for margin, least in ((1.0, 0.0), (20.0, 0.04)):
        draws = rng.normal(margin, 1.0, size=(4_000, seeds))
        claimed = np.mean([of_mean(list(row)).equivalence(-margin, margin) < 0.05 for row in draws])
        assert least <= claimed <= 0.06


def test_of_an_unknown_error_nothing_follows():
    found = Estimate(0.3, math.inf, 0)
    assert (found.interval(), found.detectable(), found.sign) == (None, None, 0)
    assert found.p_value(5.0) == found.equivalence(-9, 9) == 1.0


def test_without_error_the_value_is_the_truth():
    found = Estimate(0.3, 0.0, 5)
    assert found.interval() == (0.3, 0.3)
    assert (found.p_value(0.3), found.p_value(0.2), found.sign) == (1.0, 0.0, 1)
    assert (found.equivalence(0.2, 0.4), found.equivalence(-1, 0.3)) == (0.0, 1.0)
