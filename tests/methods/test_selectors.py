"""Oracles of the selectors: hand computation, enumeration, frequencies."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from dataflex.engine.component import Context
from dataflex.registry import build

At = Callable[..., Context]


def test_random_draws_differ_by_update_and_repeat_with_the_seed(at: At) -> None:
    selector = build("select", "random", {})
    first, again, later = (selector.select(at(step), 20) for step in (5, 5, 6))  # type: ignore[attr-defined]
    assert np.array_equal(first, again)
    assert not np.array_equal(first, later)
    assert len(set(first.tolist())) == 20


def test_random_is_uniform(at: At) -> None:
    """Chi-squared of 100 rows at 99 degrees; the bound is the 0.9999 quantile."""
    selector = build("select", "random", {})
    counts = sum(np.bincount(selector.select(at(step), 10), minlength=100) for step in range(1000))  # type: ignore[attr-defined]
    # Draws without replacement vary by the factor (100 - 10) / 99 less than independent ones.
    assert ((counts - 100) ** 2 / 100).sum() / (90 / 99) < 157


@pytest.mark.parametrize("focus", ["low", "medium", "high"])
def test_loss_bands_on_hand_made_losses(focus: str) -> None:
    """The quantiles .33 and .66 of 0..9 are 2.97 and 5.94."""
    selector = build("select", "loss", {"focus": focus, "focus_weight": 4.0, "quantiles": [0.33, 0.66]})
    losses = np.arange(10, dtype=float)
    odds = np.exp(selector.log_odds(losses))  # type: ignore[attr-defined]
    bands = {"low": [0, 1, 2], "medium": [3, 4, 5], "high": [6, 7, 8, 9]}
    assert odds.tolist() == [4.0 if row in bands[focus] else 1.0 for row in range(10)]


def test_a_loss_at_a_cut_belongs_to_the_lower_band() -> None:
    selector = build("select", "loss", {"focus": "low", "quantiles": [0.5, 0.75]})
    odds = np.exp(selector.log_odds(np.array([1.0, 2.0, 3.0, 4.0, 5.0])))  # type: ignore[attr-defined]
    assert np.flatnonzero(odds > 1).tolist() == [0, 1, 2]


def test_temperature_flattens_the_odds() -> None:
    params = {"focus": "high", "focus_weight": 5.0, "temperature": 2.0}
    odds = np.exp(build("select", "loss", params).log_odds(np.arange(10.0)))  # type: ignore[attr-defined]
    assert odds.max() == pytest.approx(np.sqrt(5))


def test_loss_draw_without_replacement_has_the_exact_inclusion_frequencies(at: At) -> None:
    """Four rows, two drawn one after the other: enumerated, against 20,000 draws to 4 standard errors."""
    losses = np.array([1.0, 2.0, 3.0, 4.0])
    selector = build("select", "loss", {"focus": "high", "focus_weight": 3.0})
    odds = np.exp(selector.log_odds(losses))  # type: ignore[attr-defined]
    exact = np.zeros(4)
    for first, second in itertools.permutations(range(4), 2):
        chance = odds[first] / odds.sum() * odds[second] / (odds.sum() - odds[first])
        exact[[first, second]] += chance
    draws = 20_000
    counts = np.zeros(4)
    for step in range(draws):
        counts[selector.select(at(step, losses), 2)] += 1  # type: ignore[attr-defined]
    assert np.abs(counts / draws - exact).max() < 4 * np.sqrt(0.25 / draws)


def test_rows_without_a_loss_are_never_selected(at: At) -> None:
    losses = np.where(np.arange(100) % 3 == 0, np.nan, np.arange(100.0))
    for replacement in (False, True):
        selector = build("select", "loss", {"temperature": 50.0, "replacement": replacement})
        ids = selector.select(at(losses=losses), 66)  # type: ignore[attr-defined]
        assert len(ids) == 66
        assert np.isfinite(losses[ids]).all()
    short = build("select", "loss", {}).select(at(losses=losses), 90)  # type: ignore[attr-defined]
    assert sorted(short.tolist()) == np.flatnonzero(np.isfinite(losses)).tolist()


def test_focus_share_of_the_default(at: At) -> None:
    """With the default odds of 5 a draw lies in the focused third with probability 5 * 33 / (5 * 33 + 67)."""
    selector = build("select", "loss", {"replacement": True})
    ids = np.concatenate([selector.select(at(step), 50) for step in range(400)])  # type: ignore[attr-defined]
    share = np.mean((ids > np.quantile(np.arange(100), 0.33)) & (ids <= np.quantile(np.arange(100), 0.66)))
    assert share == pytest.approx(5 * 33 / (5 * 33 + 67), abs=4 * np.sqrt(0.25 / 20_000))
