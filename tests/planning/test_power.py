"""Smallest detectable effects: beside published check values, and beside simulated tests."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dataflex.evidence.statistics.estimate import LEVEL, POWER
from dataflex.planning.power import (
    DISAGREEMENT,
    detectable,
    detectable_over_seeds,
    detectable_range,
    disagreement_that_hides,
    standard_error,
    verdict,
)

MMLU = 14_042


@pytest.mark.parametrize(
    ("disagreement", "error", "effect"),
    [(0.05, 0.19, 0.53), (0.10, 0.27, 0.75), (0.20, 0.38, 1.06), (0.375, 0.52, 1.45)],
)
def test_points_of_mmlu(disagreement: float, error: float, effect: float) -> None:
    assert 100 * standard_error(disagreement, MMLU) == pytest.approx(error, abs=0.005)
    assert 100 * detectable(disagreement, MMLU) == pytest.approx(effect, abs=0.006)


@pytest.mark.parametrize("disagreement", DISAGREEMENT)
def test_the_paired_test_sees_the_effect_as_often_as_it_says(disagreement: float) -> None:
    """Pairs of answers are drawn, and tested by McNemar's statistic."""
    questions, rng = 2_000, np.random.default_rng(0)
    effect = detectable(disagreement, questions)
    shares = [(disagreement + effect) / 2, (disagreement - effect) / 2, 1 - disagreement]
    better, worse, _ = rng.multinomial(questions, shares, size=20_000).T
    seen = np.abs(better - worse) / np.sqrt(better + worse) >= stats.norm.ppf(1 - (1 - LEVEL) / 2)
    assert seen.mean() == pytest.approx(POWER, abs=0.02)


@pytest.mark.parametrize("seeds", [2, 3, 6, 12])
def test_the_test_over_seeds_sees_the_effect_as_often_as_it_says(seeds: int) -> None:
    effect = detectable_over_seeds(seeds)
    draws = np.random.default_rng(1).normal(effect, 1.0, size=(20_000, seeds))
    assert (stats.ttest_1samp(draws, 0.0, axis=1).pvalue < 1 - LEVEL).mean() == pytest.approx(POWER, abs=0.02)


def test_one_seed_says_nothing_of_training() -> None:
    assert detectable_over_seeds(1) is None


@settings(deadline=None, max_examples=50)
@given(st.integers(10, 100_000), st.integers(1, 20))
def test_more_questions_and_seeds_see_more(questions: int, seeds: int) -> None:
    here = detectable_range(questions, seeds)
    assert here.least <= here.most
    assert detectable_range(questions + 1, seeds).most < here.most
    assert detectable_range(questions, seeds + 1).least < here.least


@settings(deadline=None, max_examples=50)
@given(st.floats(1e-4, 0.5), st.integers(10, 100_000))
def test_the_disagreement_that_hides_an_effect_makes_it_just_detectable(
    effect: float, questions: int
) -> None:
    assert detectable(disagreement_that_hides(effect, questions), questions) == pytest.approx(effect)


def test_verdicts() -> None:
    seen = detectable_range(MMLU, 1)
    assert verdict(seen.most, MMLU, 1) == verdict(-seen.most, MMLU, 1) == "could see it"
    assert verdict(math.nextafter(seen.most, 0), MMLU, 1) == verdict(seen.least, MMLU, 1) == "depends"
    assert verdict(math.nextafter(seen.least, 0), MMLU, 1) == "could not"
    # The mixture table's gains: z of 1.10 and .23 without pairing.
    assert verdict(0.0057, MMLU, 1) == "depends"
    assert verdict(0.0012, MMLU, 1) == "could not"
