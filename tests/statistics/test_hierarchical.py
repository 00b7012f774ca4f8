import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from statsmodels.stats.anova import anova_lm

from dataflex.evidence.statistics import hierarchical
from dataflex.evidence.statistics.clusters import mean_of
from dataflex.evidence.statistics.seeds import of_mean

tables = st.tuples(st.integers(2, 5), st.integers(2, 12)).flatmap(
    lambda shape: arrays(float, shape, elements=st.integers(0, 1).map(float))
)


def table(rng, seeds=4, n=12, seed=0.5, question=1.0):
    return (
        rng.normal(size=(seeds, 1)) * seed + rng.normal(size=(1, n)) * question + rng.normal(size=(seeds, n))
    )


def test_the_error_is_that_of_the_mean_squares():
    """(MS seeds + MS questions - MS rest) / (seeds x questions), mean squares by statsmodels."""
    import pandas as pd

    found = table(np.random.default_rng(0))
    seeds, n = found.shape
    frame = pd.DataFrame({"y": found.ravel(), "s": np.repeat(range(seeds), n), "q": np.tile(range(n), seeds)})
    squares = anova_lm(sm.OLS.from_formula("y ~ C(s) + C(q)", frame).fit())
    squares = squares["sum_sq"] / squares["df"]
    expected = (squares["C(s)"] + squares["C(q)"] - squares["Residual"]) / (seeds * n)
    assert squares["C(q)"] > squares["Residual"]
    assert hierarchical.mean(found).error ** 2 == pytest.approx(expected)


def test_on_fixed_questions_it_is_students_over_the_seeds():
    found = table(np.random.default_rng(1))
    fixed, expected = hierarchical.mean(found, questions="fixed"), of_mean(list(found.mean(axis=1)))
    assert (fixed.value, fixed.error) == pytest.approx((expected.value, expected.error))
    assert fixed.freedom == expected.freedom


def test_what_the_questions_add_is_their_share_of_the_variance():
    """(MS questions - MS rest) / (seeds x questions) beside that of the seeds, from the mean squares by hand."""
    found = table(np.random.default_rng(2))
    seeds, n = found.shape
    by_question = found.mean(axis=0)
    rest = found - found.mean(axis=1, keepdims=True) - by_question + found.mean()
    squares = seeds * by_question.var(ddof=1), (rest**2).sum() / ((seeds - 1) * (n - 1))
    drawn = hierarchical.of_questions(found)
    assert drawn.error**2 == pytest.approx((squares[0] - squares[1]) / (seeds * n))
    fixed = hierarchical.mean(found, questions="fixed")
    assert hierarchical.mean(found).error ** 2 == pytest.approx(fixed.error**2 + drawn.error**2)
    assert not hierarchical.of_questions(found[:1]).known
    assert not hierarchical.of_questions(found, ["one"] * n).known


@settings(deadline=None, max_examples=50)
@given(tables)
def test_other_questions_are_never_surer_than_these(found):
    fixed, other = (hierarchical.mean(found, questions=how) for how in ("fixed", "random"))
    assert other.error >= fixed.error - 1e-12
    assert other.value == pytest.approx(fixed.value)


@settings(deadline=None, max_examples=50)
@given(tables)
def test_a_difference_turns_its_sign_with_the_models(found):
    other = found[:, ::-1]
    one, swapped = hierarchical.difference(found, other), hierarchical.difference(other, found)
    assert (swapped.value, swapped.error) == pytest.approx((-one.value, one.error))
    assert hierarchical.difference(found, found).error == 0


def test_subjects_of_one_question_change_nothing():
    found = table(np.random.default_rng(2))
    plain, named = hierarchical.mean(found), hierarchical.mean(found, list("abcdefghijkl"))
    assert (named.value, named.error, named.freedom) == pytest.approx(
        (plain.value, plain.error, plain.freedom)
    )


def test_seeds_that_agree_leave_the_error_of_the_questions():
    row = np.random.default_rng(3).normal(size=12)
    subjects = np.repeat(np.arange(4), 3)
    for given_subjects in (None, subjects):
        found, expected = hierarchical.mean(np.stack([row] * 3), given_subjects), mean_of(row, given_subjects)
        assert (found.error, found.freedom) == pytest.approx((expected.error, expected.freedom))


def test_subjects_that_differ_make_the_error_larger():
    rng = np.random.default_rng(4)
    subjects = np.repeat(np.arange(57), 5)
    found = rng.normal(size=57)[subjects] + rng.normal(size=(6, 285))
    assert hierarchical.mean(found, subjects).error > 1.5 * hierarchical.mean(found).error


def test_clustered_error_is_the_sum_of_three_by_hand():
    """Seeds + subjects - both (Cameron, Gelbach and Miller), for equal subjects."""
    rng = np.random.default_rng(5)
    found = table(rng) + np.repeat(rng.normal(size=4), 3)
    seeds = len(found)
    centred = found - found.mean()
    by_seed = (centred.sum(axis=1) ** 2).sum() / found.size**2 * seeds / (seeds - 1)
    by_subject = (centred.reshape(seeds, 4, 3).sum(axis=(0, 2)) ** 2).sum() / found.size**2 * 4 / 3
    rest = found - found.mean(axis=1, keepdims=True) - found.mean(axis=0) + found.mean()
    both = (rest.reshape(seeds, 4, 3).sum(axis=2) ** 2).sum() / found.size**2
    both *= seeds / (seeds - 1) * 4 / 3
    estimate = hierarchical.mean(found, np.repeat(np.arange(4), 3))
    assert estimate.error**2 == pytest.approx(by_seed + by_subject - both)


def test_one_seed_or_one_subject_says_nothing_of_others():
    assert hierarchical.mean(np.zeros((1, 5))).error == math.inf
    found = hierarchical.mean(table(np.random.default_rng(6)), ["a"] * 12)
    assert (found.error, found.interval()) == (math.inf, None)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="by seed and question"):
        hierarchical.mean(np.zeros(5))
    with pytest.raises(ValueError, match="same seeds and questions"):
        hierarchical.difference(np.zeros((2, 5)), np.zeros((3, 5)))


@pytest.mark.parametrize("how", ["random", "fixed"])
@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("seeds", [2, 3, 6, 60])
def test_drawing_again_finds_the_error_of_the_formula(seeds, size, how):
    rng = np.random.default_rng(seeds)
    found = table(rng, seeds=seeds, n=60) + np.repeat(rng.normal(size=60 // size), size)
    subjects = np.repeat(np.arange(60 // size), size)
    drawn, expected = hierarchical.bootstrap(found, subjects, how), hierarchical.mean(found, subjects, how)
    assert drawn.error == pytest.approx(expected.error, rel=0.03)
    assert (drawn.value, drawn.freedom) == (expected.value, expected.freedom)


def test_the_bootstrap_is_the_same_for_the_same_seed():
    found = table(np.random.default_rng(7))
    assert hierarchical.bootstrap(found) == hierarchical.bootstrap(found)
    assert hierarchical.bootstrap(found) != hierarchical.bootstrap(found, seed=1)


def test_the_bootstrap_of_one_seed_says_nothing():
    assert not hierarchical.bootstrap(np.zeros((1, 5))).known
