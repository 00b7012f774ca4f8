"""Oracles of the mixers."""

from collections.abc import Callable

import numpy as np
import pytest

from dataflex.engine.component import Context, Facts
from dataflex.errors import UserError
from dataflex.registry import build

At = Callable[..., Context]


def test_static_keeps_the_initial_or_the_given_proportions(at: At, facts: Facts) -> None:
    assert build("mix", "static", {}).update(at()).proportions.tolist() == [0.4, 0.3, 0.3]  # type: ignore[attr-defined]
    given = build("mix", "static", {"proportions": [2, 1, 1]})
    assert given.update(at()).proportions.tolist() == [0.5, 0.25, 0.25]  # type: ignore[attr-defined]
    by_name = build("mix", "static", {"proportions": {"c": 2.0, "a": 1.0, "b": 1.0}})
    assert by_name.update(at()).proportions.tolist() == [0.25, 0.25, 0.5]  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="2 numbers for 3"):
        build("mix", "static", {"proportions": [1, 1]}).check(facts)


def test_random_mixtures_differ_repeat_and_leave_global_generators_alone(at: At) -> None:
    mixer = build("mix", "random", {})
    before = np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    first, again, later = (mixer.update(at(step)).proportions for step in (5, 5, 6))  # type: ignore[attr-defined]
    assert np.array_equal(first, again)
    assert not np.allclose(first, later)
    assert not np.allclose(first, mixer.update(at(5, seed=12)).proportions)  # type: ignore[attr-defined]
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index, union-attr]


@pytest.mark.parametrize("concentration", [1.0, 20.0])
def test_dirichlet_moments(at: At, concentration: float) -> None:
    """Mean 1/k and variance (k - 1) / (k^2 (k c + 1)) of a symmetric Dirichlet, within 5 standard errors."""
    mixer = build("mix", "random", {"concentration": concentration})
    draws = np.array([mixer.update(at(step)).proportions for step in range(4000)])  # type: ignore[attr-defined]
    variance = 2 / 9 / (3 * concentration + 1)
    assert np.abs(draws.mean(0) - 1 / 3).max() < 5 * np.sqrt(variance / 4000)
    assert draws.var(0) == pytest.approx(np.full(3, variance), rel=0.15)


def test_normalised_uniforms_are_another_distribution(at: At) -> None:
    mixer = build("mix", "random", {"distribution": "normalized_uniform"})
    draws = np.array([mixer.update(at(step)).proportions for step in range(4000)])  # type: ignore[attr-defined]
    assert draws.sum(1) == pytest.approx(np.ones(4000))
    assert draws.max() < 1
    assert draws.var(0).max() < 0.8 * (2 / 9 / 4)
