"""The delta-loss selector: windows by hand, its repaired edge cases, and its state."""

from collections.abc import Callable

import numpy as np
import pytest

from dataflex.engine.component import Context
from dataflex.registry import build
from dataflex.selectors.delta_loss import DeltaLossSelector

At = Callable[..., Context]
ROWS = 100


def selector(**params: float) -> DeltaLossSelector:
    made = build("select", "delta_loss", dict(params))
    assert isinstance(made, DeltaLossSelector)
    return made


@pytest.mark.parametrize(
    ("updates", "expected"),
    [
        (2, [(794, 994)]),
        (3, [(400, 600), (794, 994)]),
        (6, [(37, 237), (215, 415), (584, 784), (762, 962), (794, 994)]),
    ],
)
def test_windows_of_the_published_code_when_every_row_has_improved(
    updates: int, expected: list[tuple[int, int]]
) -> None:
    """The values were computed with the published formula for 1000 rows and a window of a fifth."""
    windows = [selector().window(1000, 1000, turn, updates) for turn in range(1, updates)]
    assert windows == expected


@pytest.mark.parametrize("improved", [0, 5, 20, 60, 100])
def test_the_window_never_leaves_the_rows_that_improved_while_they_fill_it(improved: int) -> None:
    windows = [selector().window(improved, 100, turn, 8) for turn in range(1, 8)]
    assert all(stop - start == 20 for start, stop in windows)
    assert all(stop <= max(improved, 20) for _, stop in windows)
    assert windows == sorted(windows)


def test_rows_come_from_the_window_and_rarely_from_outside(at: At) -> None:
    """With outside=0 all of them; by default a share of 1 / (1 + .025 * 4) = .909 of the first draw."""
    first, now = np.full(ROWS, 5.0), 5.0 - np.arange(ROWS) / ROWS
    strict = selector(outside=0.0)
    strict.select(at(1, first, updates=3), 10)
    chosen = strict.select(at(2, now, update=1, updates=3), 10)
    start, stop = strict.window(99, ROWS, 1, 3)
    inside = np.argsort(-(first - now), kind="stable")[start:stop]
    assert set(chosen) <= set(inside)
    assert len(strict.select(at(2, now, update=1, updates=3), 50)) == 20
    loose = selector()
    loose.select(at(1, first, updates=3), 10)
    draws = [loose.select(at(step, now, update=1, updates=3), 1)[0] for step in range(4000)]
    assert np.isin(draws, inside).mean() == pytest.approx(1 / 1.1, abs=4 * np.sqrt(0.083 / 4000))


def test_the_baseline_is_taken_anew_after_every_warm_up(at: At) -> None:
    one = selector()
    one.select(at(1, np.full(ROWS, 5.0), update=0, updates=2), 10)
    one.select(at(2, np.full(ROWS, 1.0), update=2, updates=2), 10)
    assert one.state_dict()["first"][0] == 1.0


def test_a_restored_selector_goes_on_as_the_first_would(at: At) -> None:
    one, other = selector(), selector()
    one.select(at(1, np.linspace(3, 6, ROWS), updates=4), 10)
    other.load_state_dict(one.state_dict())
    now = at(2, np.linspace(2, 5, ROWS) ** 2 / 8, update=1, updates=4)
    assert np.array_equal(one.select(now, 30), other.select(now, 30))


def test_rows_without_a_loss_are_never_selected(at: At) -> None:
    losses = np.where(np.arange(ROWS) % 2 == 0, np.nan, 3.0)
    one = selector()
    assert np.isfinite(losses[one.select(at(1, losses, updates=2), 80)]).all()
    assert len(one.select(at(2, losses - 1, update=1, updates=2), 80)) == 50
