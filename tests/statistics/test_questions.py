import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from dataflex.evidence.statistics.questions import accuracy, binomial, wilson


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 10), (64, 64), (200, 384)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_wilson_is_scipys_and_statsmodels(hits, n, level):
    expected = stats.binomtest(hits, n).proportion_ci(level, method="wilson")
    assert wilson(hits, n, level) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert wilson(hits, n, level) == pytest.approx(
        proportion_confint(hits, n, 1 - level, method="wilson"), abs=1e-12
    )


def test_no_draw_has_no_interval():
    with pytest.raises(ValueError, match="at least one"):
        wilson(0, 0)


@pytest.mark.parametrize("n", [165, 285, 14_042])
@pytest.mark.parametrize("share", [0.25, 0.27, 0.5, 0.7])
def test_wilson_covers_exactly(n, share):
    """Not simulated: summed over the binomial distribution."""
    hits = np.arange(int(n * share - 8 * np.sqrt(n)), int(n * share + 8 * np.sqrt(n)))
    hits = hits[(hits >= 0) & (hits <= n)]
    held = [low <= share <= high for low, high in (wilson(int(k), n) for k in hits)]
    assert stats.binom.pmf(hits[held], n, share).sum() == pytest.approx(0.95, abs=0.01)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.booleans(), min_size=2, max_size=50))
def test_an_accuracy_has_the_binomial_error(right):
    found, n = accuracy(right), len(right)
    expected = binomial(np.mean(right), n)
    assert found.value == pytest.approx(expected.value)
    assert found.error == pytest.approx(expected.error * np.sqrt(n / (n - 1)))


def test_a_published_accuracy():
    low, high = binomial(0.2604, 14_042).interval()
    assert ((low + high) / 2, (high - low) / 2) == pytest.approx((0.2604, 1.96 * 0.0037), abs=3e-5)
    assert (low, high) == pytest.approx(proportion_confint(0.2604 * 14_042, 14_042))
    for share, n in ((26.04, 14_042), (0.2, 0)):
        with pytest.raises(ValueError, match="not a share"):
            binomial(share, n)


def test_outcomes_are_right_or_wrong():
    with pytest.raises(ValueError, match="0 or 1"):
        accuracy([0.2, 0.4])
