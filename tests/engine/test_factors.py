"""Normalisation of sample weights, by hand."""

import numpy as np
import pytest

from dataflex.engine.factors import loss_factors

TOKENS = np.array([4.0, 1.0, 0.0, 5.0])
SUMS = np.array([8.0, 3.0, 0.0, 2.5])


def loss(factors: np.ndarray) -> float:
    return float((factors * SUMS).sum() / TOKENS.sum())


def test_equal_weights_of_tokens_are_exactly_one() -> None:
    assert loss_factors(np.full(4, 0.25), TOKENS, of_means=False)[[0, 1, 3]].tolist() == [1.0, 1.0, 1.0]


def test_token_mass_is_the_weighted_token_mean() -> None:
    weights = np.array([1.0, 2.0, 7.0, 0.5])
    expected = (1 * 8 + 2 * 3 + 0.5 * 2.5) / (1 * 4 + 2 * 1 + 0.5 * 5)
    assert loss(loss_factors(weights, TOKENS, of_means=False)) == pytest.approx(expected, rel=1e-12)


def test_sample_mass_is_the_weighted_mean_of_sample_means() -> None:
    weights = np.array([1.0, 2.0, 7.0, 0.5])
    expected = (1 * 2 + 2 * 3 + 0.5 * 0.5) / 3.5
    assert loss(loss_factors(weights, TOKENS, of_means=True)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("of_means", [True, False])
def test_without_a_supervised_token_there_is_nothing_to_scale(of_means: bool) -> None:
    assert np.isfinite(loss_factors(np.array([1.0, 3.0]), np.zeros(2), of_means=of_means)).all()


@pytest.mark.parametrize(
    "weights", [[1, -1, 1, 1], [1, np.nan, 1, 1], [0, 0, 3, 0], [np.inf, 1, 1, 1], [1, 1, 1]]
)
def test_unusable_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weight"):
        loss_factors(np.array(weights, float), TOKENS, of_means=False)
