"""Oracles of the weighters: the published formula by hand, and its invariances."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflex.engine.component import Context
from dataflex.registry import build

At = Callable[..., Context]
LOSSES = np.array([1.0, 2.0, 3.0, 5.0])


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("linupper", [0.123681, 0.203916, 0.336201, 0.336201]),
        ("quadratic", [0.1463, 0.309717, 0.397684, 0.1463]),
        ("extremes", [0.336201, 0.203916, 0.123681, 0.336201]),
        ("none", [0.25] * 4),
    ],
)
def test_weights_of_the_papers_formula(at: At, strategy: str, expected: list[float]) -> None:
    weighter = build("weight", "loss", {"strategy": strategy})
    assert weighter.weights(LOSSES, at()) == pytest.approx(expected, abs=1e-6)  # type: ignore[attr-defined]


@pytest.mark.parametrize("strategy", ["linupper", "quadratic", "extremes"])
def test_affine_changes_of_the_losses_change_nothing(at: At, strategy: str) -> None:
    weighter = build("weight", "loss", {"strategy": strategy, "delta": 0.7, "r": 0.4})
    weights = weighter.weights(LOSSES, at())  # type: ignore[attr-defined]
    assert weighter.weights(3 * LOSSES + 7, at()) == pytest.approx(weights)  # type: ignore[attr-defined]


@given(st.lists(st.floats(0, 20), min_size=2, max_size=16))
def test_linupper_never_prefers_a_lower_loss(losses: list[float]) -> None:
    weighter = build("weight", "loss", {})
    ordered = np.sort(losses)
    weights = weighter.weights(ordered, None)  # type: ignore[attr-defined]
    assert (np.diff(weights) >= -1e-12).all()
    assert weights.sum() == pytest.approx(1)


def test_a_large_r_and_equal_losses_give_equal_weights(at: At) -> None:
    flat = build("weight", "loss", {"r": 1e9}).weights(LOSSES, at())  # type: ignore[attr-defined]
    assert flat == pytest.approx(np.full(4, 0.25))
    equal = build("weight", "loss", {}).weights(np.full(4, 2.0), at())  # type: ignore[attr-defined]
    assert equal == pytest.approx(np.full(4, 0.25))


def test_a_sample_without_loss_counts_nothing_and_moves_nobody(at: At) -> None:
    weighter = build("weight", "loss", {})
    with_nan = weighter.weights(np.insert(LOSSES, 2, np.nan), at())  # type: ignore[attr-defined]
    assert with_nan[2] == 0
    assert np.delete(with_nan, 2) == pytest.approx(weighter.weights(LOSSES, at()))  # type: ignore[attr-defined]
