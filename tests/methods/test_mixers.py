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


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"rule": "natural"}, [4 / 13, 3 / 13, 6 / 13]),
        ({"rule": "uniform"}, [1 / 3] * 3),
        ({"rule": "temperature", "temperature": 1.0}, [4 / 13, 3 / 13, 6 / 13]),
        ({"rule": "temperature", "temperature": 2.0}, np.sqrt([4, 3, 6]) / np.sqrt([4, 3, 6]).sum()),
        ({"rule": "temperature", "temperature": 1e9}, [1 / 3] * 3),
    ],
)
def test_static_rules(at: At, params: dict[str, object], expected: list[float]) -> None:
    """Loss tokens of the domains are 400, 300 and 600."""
    mixture = build("mix", "static", params).update(at())  # type: ignore[attr-defined]
    assert mixture.proportions == pytest.approx(np.asarray(expected))


def test_unimax_shows_no_row_more_often_than_asked(at: At, facts: Facts) -> None:
    """200 samples over rows of 10, 10 and 20 loss tokens. Uniform is the same number of tokens of each domain: 80
    rows of a and b, which are two epochs and more, and 40 of c.
    """
    free = build("mix", "static", {"rule": "unimax", "max_epochs": 4.0}).update(at())  # type: ignore[attr-defined]
    assert free.proportions == pytest.approx(np.full(3, 1 / 3))
    # At most 2 epochs: b gives 60 rows, a 80 and c, which has 60, takes the other 60.
    tight = build("mix", "static", {"rule": "unimax", "max_epochs": 2.0}).update(at())  # type: ignore[attr-defined]
    tokens = np.array([80 * 10, 60 * 10, 60 * 20])
    assert tight.proportions == pytest.approx(tokens / tokens.sum())
    # All of it three times is less than what is asked for: natural.
    short = build("mix", "static", {"rule": "unimax", "max_epochs": 1.0}).update(at())  # type: ignore[attr-defined]
    assert short.proportions == pytest.approx(facts.loss_tokens / facts.loss_tokens.sum())


def test_a_rule_and_proportions_exclude_each_other() -> None:
    with pytest.raises(UserError, match="exclude each other"):
        build("mix", "static", {"rule": "natural", "proportions": [1, 1, 1]})


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
