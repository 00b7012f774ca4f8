import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dataflex.evidence.statistics import unequal
from dataflex.evidence.statistics.clusters import mean_of
from dataflex.evidence.statistics.unequal import freedom
from tests.statistics.simulate import MMLU_SUBJECTS


def clustered(rng, sizes, apart):
    label = np.repeat(np.arange(len(sizes)), sizes)
    return rng.normal(size=len(sizes))[label] * apart + rng.normal(size=len(label)), label


@pytest.mark.parametrize("size", [2, 7])
def test_equal_clusters_have_the_error_of_statsmodels(size):
    """Of equal clusters CR2 is the usual robust error with its factor G/(G - 1), and G - 1 its freedom."""
    values, label = clustered(np.random.default_rng(0), [size] * 12, 0.5)
    fit = sm.OLS(values, np.ones(len(values))).fit(
        cov_type="cluster",
        cov_kwds={"groups": label, "use_correction": True, "df_correction": True},
        use_t=True,
    )
    found = mean_of(values, label)
    assert found.value == pytest.approx(fit.params[0])
    # statsmodels' factor has (n - 1)/(n - k) besides, which is 1 for a mean.
    assert found.error == pytest.approx(fit.bse[0])
    assert found.interval() == pytest.approx(tuple(fit.conf_int()[0]))


def test_unequal_clusters_have_the_error_of_the_matrix_formula():
    """CR2 by its definition: residuals times (I - H)^(-1/2), cluster by cluster."""
    values, label = clustered(np.random.default_rng(1), [1, 2, 3, 9], 1.0)
    n, total = len(values), 0.0
    for number in range(4):
        own = np.flatnonzero(label == number)
        weights, axes = np.linalg.eigh(np.eye(len(own)) - np.full((len(own), len(own)), 1 / n))
        adjusted = axes @ np.diag(weights**-0.5) @ axes.T @ (values[own] - values.mean())
        total += adjusted.sum() ** 2
    assert mean_of(values, label).error == pytest.approx(math.sqrt(total) / n)


def test_clusters_of_one_are_no_clusters():
    values = np.random.default_rng(2).normal(size=20)
    alone = mean_of(values)
    assert alone == mean_of(values, [f"q{i}" for i in range(20)])
    assert (alone.error, alone.freedom) == (pytest.approx(stats.sem(values)), 19)


def test_the_order_does_not_matter():
    values, label = clustered(np.random.default_rng(3), [3, 5, 2, 8], 1.0)
    mixed = np.random.default_rng(4).permutation(len(values))
    found, again = mean_of(values, label), mean_of(values[mixed], [f"s{k}" for k in label[mixed]])
    assert (again.value, again.error) == pytest.approx((found.value, found.error))
    assert again.freedom == pytest.approx(found.freedom)


def test_one_cluster_says_nothing_of_others():
    assert mean_of([0.0, 1.0], ["a", "a"]).error == math.inf
    assert mean_of([1.0]).error == math.inf
    with pytest.raises(ValueError, match="1 clusters were given for 2"):
        mean_of([0.0, 1.0], ["a"])
    with pytest.raises(ValueError, match="row of values"):
        mean_of([])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=15), st.floats(0, 1))
def test_freedom_is_less_than_clusters(sizes, correlation):
    assert 0.5 < freedom(np.array(sizes, float), correlation) <= len(sizes) - 1


def test_freedom_of_nearly_equal_clusters_is_that_of_equal_ones():
    """The inversion gives Student's quantile where the truth is known to be his."""
    assert freedom(np.array([5.0] * 8), 0.3) == 7
    assert freedom(np.array([5.0] * 7 + [5.0001]), 0.3) == pytest.approx(7, rel=1e-3)


@pytest.mark.parametrize(("sizes", "correlation"), [(MMLU_SUBJECTS, 0.1), ([1, 1, 1, 50], 0.2)])
def test_freedom_makes_the_interval_cover_in_its_model(sizes, correlation):
    """Sums of clusters are drawn from the model, and the statistic computed by hand."""
    size = np.array(sizes, float)
    rng = np.random.default_rng(7)
    sums = rng.normal(size=(40_000, len(size))) * np.sqrt(size * (1 - correlation) + size**2 * correlation)
    means = sums.sum(axis=1) / size.sum()
    squares = ((sums - size * means[:, None]) ** 2 / (1 - size / size.sum())).sum(axis=1)
    statistic = np.abs(means) * size.sum() / np.sqrt(squares)
    held = statistic <= stats.t.ppf(0.975, freedom(size, correlation))
    assert held.mean() == pytest.approx(0.95, abs=0.004)


def test_the_inversion_does_not_depend_on_its_grid(monkeypatch):
    coarse = [freedom(np.array(MMLU_SUBJECTS, float), rho) for rho in (0.0, 0.01, 1.0)]
    assert coarse == pytest.approx([31.67, 17.34, 16.71], abs=0.01)
    monkeypatch.setattr(unequal, "FREQUENCIES", np.geomspace(1e-9, 1e11, 3_000))
    unequal._freedom.cache_clear()
    fine = [freedom(np.array(MMLU_SUBJECTS, float), rho) for rho in (0.0, 0.01, 1.0)]
    unequal._freedom.cache_clear()
    assert coarse == pytest.approx(fine, rel=1e-3)
