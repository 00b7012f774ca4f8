"""Oracles of the weighters: the published formula by hand, and its invariances."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflex.engine.component import Context, Samples
from dataflex.registry import build
from dataflex.weighters.loss import LossWeighter, capped

At = Callable[..., Context]
LOSSES = np.array([1.0, 2.0, 3.0, 5.0])
NOTHING = Samples(*(np.zeros(0, np.int64),) * 3)


def weights_of(params: dict[str, object], losses: np.ndarray, context: Context | None = None) -> np.ndarray:
    """The weights of a step's losses within the bounds of the same step, as shares."""
    weighter = build("weight", "loss", {"bounds": "same_step"} | params)
    weights = weighter.weights(losses, context)  # type: ignore[attr-defined]
    return np.asarray(weights / weights.sum())


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("linupper", [0.123681, 0.203916, 0.336201, 0.336201]),
        ("quadratic", [0.1463, 0.309717, 0.397684, 0.1463]),
        ("extremes", [0.336201, 0.203916, 0.123681, 0.336201]),
        ("kl_dro", [0.078, 0.129, 0.213, 0.579]),
        ("none", [0.25] * 4),
    ],
)
def test_weights_of_the_papers_formula(strategy: str, expected: list[float]) -> None:
    rough = 5e-4 if strategy == "kl_dro" else 1e-6
    assert weights_of({"strategy": strategy}, LOSSES) == pytest.approx(expected, abs=rough)


def test_upper_is_kl_dro_with_half_the_slope() -> None:
    """Softmax of h / 2 by hand: h is -1, -1/2, 0, 1."""
    odds = np.exp([-0.5, -0.25, 0, 0.5])
    assert weights_of({"strategy": "upper"}, LOSSES) == pytest.approx(odds / odds.sum())
    assert weights_of({"strategy": "kl_dro", "r": 2.0}, LOSSES) == pytest.approx(odds / odds.sum())


@pytest.mark.parametrize("strategy", ["linupper", "upper", "quadratic", "extremes", "kl_dro"])
def test_affine_changes_of_the_losses_change_nothing(strategy: str) -> None:
    params: dict[str, object] = {"strategy": strategy, "delta": 0.7, "r": 0.4}
    assert weights_of(params, 3 * LOSSES + 7) == pytest.approx(weights_of(params, LOSSES))


@given(st.lists(st.floats(0, 20), min_size=2, max_size=16))
def test_linupper_never_prefers_a_lower_loss(losses: list[float]) -> None:
    weights = weights_of({}, np.sort(losses))
    assert (np.diff(weights) >= -1e-12).all()


def test_a_large_r_and_equal_losses_give_equal_weights() -> None:
    assert weights_of({"r": 1e9}, LOSSES) == pytest.approx(np.full(4, 0.25))
    assert weights_of({}, np.full(4, 2.0)) == pytest.approx(np.full(4, 0.25))


def test_a_sample_without_loss_counts_nothing_and_moves_nobody() -> None:
    with_nan = weights_of({}, np.insert(LOSSES, 2, np.nan))
    assert with_nan[2] == 0
    assert np.delete(with_nan, 2) == pytest.approx(weights_of({}, LOSSES))


def test_bounds_of_the_step_before(at: At) -> None:
    """Within bounds that were observed a sample is weighed by itself; beyond them it counts as their end."""
    weighter = build("weight", "loss", {})
    assert isinstance(weighter, LossWeighter)
    assert weighter.by_sample()
    assert weighter.weights(LOSSES, at()).tolist() == [1.0] * 4
    weighter.observe(LOSSES, NOTHING, 7)
    together = weighter.weights(LOSSES, at())
    assert together / together.sum() == pytest.approx(weights_of({}, LOSSES))
    alone = [weighter.weights(LOSSES[i : i + 1], at())[0] for i in range(4)]
    assert alone == pytest.approx(together.tolist())
    assert weighter.weights(np.array([-3.0, 1.0]), at()).tolist() == [together[0], together[0]]
    copy = LossWeighter()
    copy.load_state_dict(json.loads(json.dumps(weighter.state_dict())))
    assert np.array_equal(copy.weights(LOSSES, at()), together)
    weighter.observe(np.array([np.nan, np.nan]), NOTHING, 8)
    assert np.array_equal(weighter.weights(LOSSES, at()), together)


@pytest.mark.parametrize(("schedule", "middle"), [("linear", 1.6), ("cosine", 1.6)])
def test_r_goes_to_its_end(at: At, schedule: str, middle: float) -> None:
    weighter = build("weight", "loss", {"r": 3.0, "r_end": 0.2, "r_schedule": schedule})
    assert isinstance(weighter, LossWeighter)
    r = [weighter._r(at(update=update, updates=9)) for update in (0, 2, 4, 8)]
    assert r[0] == 3.0
    assert r[2] == pytest.approx(middle)
    assert r[3] == pytest.approx(0.2)
    quarter = 3 - 2.8 * (0.25 if schedule == "linear" else (1 - np.cos(np.pi / 4)) / 2)
    assert r[1] == pytest.approx(quarter)


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=20), st.floats(1.01, 5))
def test_capped_weights(weights: list[float], most: float) -> None:
    """No weight above the cap, order kept, uncapped ones in their old ratios; the cap by bisection."""
    given_weights = np.array(weights)
    result = capped(given_weights, most)
    assert result.max() <= most * result.mean() * (1 + 1e-9)
    low, high = 0.0, given_weights.max()
    for _ in range(100):
        middle = (low + high) / 2
        fits = middle <= most * np.minimum(given_weights, middle).mean()
        low, high = (middle, high) if fits else (low, middle)
    cap = given_weights.max() if given_weights.max() <= most * given_weights.mean() else low
    clipped = np.minimum(given_weights, cap)
    assert result / result.sum() == pytest.approx(clipped / clipped.sum(), rel=1e-6)


def test_a_cap_that_binds_compares_the_samples() -> None:
    assert capped(np.array([8.0, 1.0, 1.0, 0.0]), 1.5).tolist() == [2.0, 1.0, 1.0, 0.0]
    assert not LossWeighter(max_weight=2.0).by_sample()
    assert weights_of({"strategy": "kl_dro", "max_weight": 2.0}, LOSSES).max() == pytest.approx(0.5)
