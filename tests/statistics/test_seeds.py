import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dataflex.evidence.statistics.seeds import mean, of_mean, paired, sign_flip, standard_deviation

numbers = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=10)


@settings(deadline=None, max_examples=50)
@given(numbers)
def test_the_mean_over_seeds_is_students(values):
    found = of_mean(values)
    assert found.value == mean(values) == pytest.approx(np.mean(values))
    assert found.error == pytest.approx(stats.sem(values), rel=1e-9, abs=1e-9)
    assert found.freedom == len(values) - 1


def test_one_seed_says_nothing_of_training():
    found = of_mean([0.3])
    assert (found.value, found.error, found.interval()) == (0.3, math.inf, None)
    with pytest.raises(ValueError, match="at least one"):
        of_mean([])
    with pytest.raises(ValueError, match="at least two"):
        standard_deviation([1.0])


def test_only_seeds_of_both_are_paired():
    ours, theirs = {1: 0.5, 2: 0.6, 3: 0.9, 9: 0.1}, {3: 0.7, 2: 0.5, 1: 0.45, 4: 0.0}
    test = stats.ttest_rel([0.5, 0.6, 0.9], [0.45, 0.5, 0.7])
    found = paired(ours, theirs)
    assert found.interval() == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert found.p_value() == pytest.approx(test.pvalue)
    assert paired(ours, {2: 0.5}).interval() is None
    with pytest.raises(ValueError, match="no seed"):
        paired(ours, {7: 0.5})


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(-6, 6), min_size=2, max_size=8))
def test_sign_flips_are_scipys_permutations(values):
    """Whole numbers, so that equal sums are equal."""
    found = sign_flip([float(value) for value in values])
    expected = stats.permutation_test((values,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert found.p_value == pytest.approx(min(1.0, expected.pvalue))


@pytest.mark.parametrize(("seeds", "least"), [(1, 1.0), (2, 0.5), (3, 0.25), (5, 0.0625), (6, 0.03125)])
def test_the_least_p_value_is_reached_where_all_signs_agree(seeds, least):
    found = sign_flip([0.1 * (i + 1) for i in range(seeds)])
    assert found.p_value == found.least == least
    assert sign_flip([-0.7] * seeds).p_value == least


def test_without_differences_there_is_no_evidence():
    assert sign_flip([0.0] * 4).p_value == 1.0
    with pytest.raises(ValueError, match="1 to 20"):
        sign_flip([1.0] * 21)


def test_sign_flips_reject_the_null_at_most_as_often_as_they_say():
    draws = np.random.default_rng(6).normal(size=(4_000, 6))
    wrong = np.mean([sign_flip(list(row)).p_value < 0.05 for row in draws])
    assert wrong == pytest.approx(0.03125, abs=0.01)
