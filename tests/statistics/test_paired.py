import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as theirs_mcnemar

from dataflex.evidence.statistics.paired import (
    bootstrap,
    contested,
    difference,
    effective_questions,
    mcnemar,
)

pairs = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=60).map(
    lambda found: np.array(found, float).T
)


def answers(rng, n, ours=0.3, theirs=0.27):
    ease = rng.normal(size=n)
    cut = [stats.norm.ppf(share) * math.sqrt(2) for share in (ours, theirs)]
    return [(rng.normal(size=n) + ease + level > 0).astype(float) for level in cut]


@settings(deadline=None, max_examples=50)
@given(pairs)
def test_mcnemar_is_statsmodels_and_scipys(found):
    test = mcnemar(*found)
    table = [[int(((found[0] == a) & (found[1] == b)).sum()) for b in (1, 0)] for a in (1, 0)]
    assert test.exact == pytest.approx(theirs_mcnemar(table, exact=True).pvalue)
    assert (test.ours, test.theirs) == (table[0][1], table[1][0])
    contest = test.ours + test.theirs
    if contest:
        assert test.exact == pytest.approx(stats.binomtest(test.ours, contest).pvalue)
    fewer = min(test.ours, test.theirs)
    mid = 2 * stats.binom.cdf(fewer, contest, 0.5) - stats.binom.pmf(fewer, contest, 0.5)
    assert test.mid_p == pytest.approx(mid)
    assert test.mid_p <= test.exact


def test_mcnemar_of_the_whole_mmlu():
    ours, theirs = answers(np.random.default_rng(1), 14_042, 0.3, 0.28)
    test = mcnemar(ours, theirs)
    assert 0 < test.exact < 0.01
    # Large numbers: the normal approximation of the same test, as the estimate has it, is near.
    assert test.mid_p == pytest.approx(difference(ours, theirs).p_value(), rel=0.05)


@pytest.mark.parametrize("n", [165, 285])
def test_mcnemar_rejects_the_null_at_most_as_often_as_it_says(n):
    rng = np.random.default_rng(2)
    tests = [mcnemar(*answers(rng, n, 0.27, 0.27)) for _ in range(2_000)]
    assert np.mean([test.exact < 0.05 for test in tests]) <= 0.05 + 0.01
    assert np.mean([test.mid_p < 0.05 for test in tests]) == pytest.approx(0.05, abs=0.0125)


@settings(deadline=None, max_examples=50)
@given(pairs)
def test_the_difference_is_that_of_the_accuracies(found):
    ours, theirs = found
    test = difference(ours, theirs)
    assert test.value == pytest.approx(ours.mean() - theirs.mean())
    share, n = contested(ours, theirs), len(ours)
    # What planning assumes, less the square of the difference itself.
    assert test.error**2 * (n - 1) == pytest.approx(share - test.value**2, abs=1e-12)
    swapped = difference(theirs, ours)
    assert (swapped.value, swapped.error) == pytest.approx((-test.value, test.error))


def test_the_difference_is_scipys_paired_test():
    ours, theirs = answers(np.random.default_rng(3), 285)
    assert difference(ours, theirs).p_value() == pytest.approx(stats.ttest_rel(ours, theirs).pvalue)


def test_effective_questions_by_hand():
    ours, theirs = np.array([1, 1, 0, 0.0]), np.array([1, 0, 0, 0.0])
    assert effective_questions(ours, theirs) == pytest.approx(4 * (1 / 4 + 3 / 16) / (3 / 16))
    assert effective_questions(ours, ours) == math.inf
    rng = np.random.default_rng(4)
    apart = (rng.random((2, 100_000)) < 0.3).astype(float)
    assert effective_questions(*apart) == pytest.approx(100_000, rel=0.02)


def test_the_bootstrap_is_scipys():
    ours, theirs = answers(np.random.default_rng(5), 285)
    expected = stats.bootstrap(
        (ours - theirs,), np.mean, method="BCa", n_resamples=20_000, rng=np.random.default_rng(0)
    ).confidence_interval
    assert bootstrap(ours, theirs, draws=20_000) == pytest.approx(tuple(expected), abs=0.004)


def test_the_bootstrap_of_skewed_losses_is_scipys_and_not_symmetric():
    losses = np.random.default_rng(6).exponential(size=60) ** 2
    expected = stats.bootstrap(
        (losses,), np.mean, method="BCa", n_resamples=20_000, rng=np.random.default_rng(0)
    ).confidence_interval
    low, high = bootstrap(losses, np.zeros(60), draws=20_000)
    assert (low, high) == pytest.approx(tuple(expected), rel=0.02)
    assert high - losses.mean() > 1.3 * (losses.mean() - low)


def test_the_bootstrap_draws_whole_subjects():
    """Copies of a question say nothing new: subjects of equal answers are as wide as one question each."""
    rng = np.random.default_rng(7)
    one = rng.normal(size=40)
    copied, subjects = np.repeat(one, 9), np.repeat(np.arange(40), 9)
    clustered = bootstrap(copied, np.zeros(360), subjects)
    assert clustered == pytest.approx(bootstrap(one, np.zeros(40)), abs=1e-9)
    naive = bootstrap(copied, np.zeros(360))
    assert np.ptp(clustered) > 2.5 * np.ptp(naive)


def test_the_bootstrap_is_the_same_each_time():
    ours, theirs = np.random.default_rng(8).normal(size=(2, 50))
    assert bootstrap(ours, theirs) == bootstrap(ours, theirs)
    assert bootstrap(ours, theirs) != bootstrap(ours, theirs, seed=1)
    assert bootstrap(ours, ours) == (0.0, 0.0)


def test_other_questions_are_refused():
    with pytest.raises(ValueError, match="same questions"):
        difference([1.0, 0.0], [1.0])
    with pytest.raises(ValueError, match="0 or 1"):
        mcnemar([0.5], [0.2])
