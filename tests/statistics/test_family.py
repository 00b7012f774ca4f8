import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from dataflex.evidence.statistics.family import holm


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize("tests", [1, 2, 7, 30])
def test_holm_is_that_of_statsmodels(tests):
    p_values = np.random.default_rng(tests).random(tests) ** 3
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


@pytest.mark.parametrize("together", [0.0, 0.8])
def test_a_family_of_true_hypotheses_is_seldom_rejected(together):
    """Ten tests of nothing, independent or correlated: one of them is called in at most 5 % of families."""
    rng = np.random.default_rng(3)
    shared = rng.normal(size=(4_000, 1)) * np.sqrt(together)
    statistics = shared + rng.normal(size=(4_000, 10)) * np.sqrt(1 - together)
    p_values = 2 * stats.norm.sf(np.abs(statistics))
    wrong = np.mean([min(holm(list(row))) < 0.05 for row in p_values])
    assert wrong <= 0.06
    if not together:
        assert wrong >= 0.04
        assert np.mean(p_values.min(axis=1) < 0.05) > 0.35
