"""Oracles of mixing by expert load: distances and updates by hand and by scipy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax

from dataflex.engine.component import Context, StepLosses
from dataflex.registry import build

At = Callable[..., Context]
EQUAL = np.full(3, 1 / 3)


def mixer(**params: Any) -> Any:
    return build("mix", "dynamic_moe", params)


def step(counts: Any) -> StepLosses:
    """A step that showed these counts, shape ``(domains, layers, experts)``."""
    return StepLosses(
        np.ones(3), np.ones(3, int), np.ones(3, int), EQUAL, router_counts=np.asarray(counts, float)
    )


def one_layer(loads: Any) -> np.ndarray:
    return np.asarray(loads, float)[:, None]


def random_counts(layers: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 50, (3, layers, 5)).astype(float)


def test_one_domain_with_an_expert_of_its_own(at: At) -> None:
    """Loads (1,0), (0,1), (1,0): distances are thirds of the square root of two, twice that for the odd one."""
    one = mixer()
    one.observe(step(one_layer([[7, 0], [0, 20], [1, 0]])), 4)
    distances = np.sqrt(2) / 3 * np.array([1, 2, 1])
    expected = 0.95 * softmax(10 * distances) + 0.05 / 3
    context = at(proportions=EQUAL)
    found = one.update(context)
    assert found.proportions == pytest.approx(expected)
    assert found.loss_weights is None
    assert list(context.notes["distances"].values()) == pytest.approx(distances.tolist())
    one.observe(step(one_layer([[7, 0], [0, 20], [1, 0]])), 5)
    again = 0.95 * softmax(np.log(expected) + 10 * distances) + 0.05 / 3
    assert one.update(at()).proportions == pytest.approx(again)


def test_equal_loads_pull_to_equal_shares_only(at: At) -> None:
    one = mixer(c=0.2)
    one.observe(step(one_layer([[2, 4], [1, 2], [30, 60]])), 4)
    assert one.update(at()).proportions == pytest.approx(0.8 * np.array([0.4, 0.3, 0.3]) + 0.2 / 3)
    fixed = mixer(c=0.0)
    fixed.observe(step(one_layer([[2, 4], [1, 2], [30, 60]])), 4)
    assert fixed.update(at()).proportions == pytest.approx([0.4, 0.3, 0.3])


@pytest.mark.parametrize("metric", ["l2", "cos", "js"])
def test_distances_by_brute_force(metric: str) -> None:
    counts = random_counts()
    loads = counts / counts.sum(2, keepdims=True)

    def between(a: np.ndarray, b: np.ndarray) -> float:
        if metric == "l2":
            return float(np.sqrt(((a - b) ** 2).sum()))
        if metric == "cos":
            return float(1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        return float(jensenshannon(a, b))

    def mean_distances(vectors: np.ndarray) -> np.ndarray:
        return np.array([[between(a, b) for b in vectors] for a in vectors]).mean(1)

    last = mixer(metric=metric).distances(counts)
    assert last == pytest.approx(mean_distances(loads[:, -1]), abs=1e-7)
    mean = mixer(metric=metric, layer="mean").distances(counts)
    assert mean == pytest.approx(np.mean([mean_distances(loads[:, k]) for k in range(3)], axis=0), abs=1e-7)
    together = mixer(metric=metric, layer="all").distances(counts)
    flat = counts.reshape(3, -1)
    assert together == pytest.approx(mean_distances(flat / flat.sum(1, keepdims=True)), abs=1e-7)


@pytest.mark.parametrize("metric", ["l2", "cos", "js"])
@pytest.mark.parametrize("layer", ["last", "mean", "all"])
def test_the_order_of_domains_does_not_matter(at: At, metric: str, layer: str) -> None:
    turn, counts = np.array([2, 0, 1]), random_counts()
    found = []
    for given in (counts, counts[turn]):
        one = mixer(metric=metric, layer=layer)
        one.observe(step(given), 4)
        found.append(one.update(at(proportions=EQUAL)).proportions)
    assert found[1] == pytest.approx(found[0][turn])


def test_counts_since_the_last_update_count(at: At) -> None:
    parts, whole = mixer(), mixer()
    counts = random_counts()
    parts.observe(step(counts), 3)
    parts.observe(step(2 * counts[::-1]), 4)
    whole.observe(step(counts + 2 * counts[::-1]), 4)
    assert parts.update(at()).proportions.tolist() == whole.update(at()).proportions.tolist()
    parts.observe(step(counts), 5)
    fresh = mixer()
    fresh.load_state_dict(whole.state_dict())
    fresh.observe(step(counts), 5)
    assert parts.update(at()).proportions.tolist() == fresh.update(at()).proportions.tolist()


def test_without_evidence_nothing_moves(at: At) -> None:
    one = mixer()
    assert one.update(at()).proportions.tolist() == [0.4, 0.3, 0.3]
    unseen = mixer(c=0.0)
    unseen.observe(step(one_layer([[7, 0], [0, 0], [3, 3]])), 4)
    found = unseen.update(at()).proportions
    # Two domains are always equally far from each other.
    assert found == pytest.approx([0.4, 0.3, 0.3])
    three = mixer(c=0.0)
    three.observe(step(one_layer([[7, 0], [0, 5], [3, 3]])), 4)
    assert three.update(at()).proportions[2] < 0.3


def test_a_copy_goes_on_from_the_state(at: At) -> None:
    one, copy = mixer(), mixer()
    assert one.state_dict() == {}
    for number in range(3):
        one.observe(step(random_counts()[:, ::-1]), number)
    one.update(at())
    one.observe(step(random_counts()), 3)
    copy.load_state_dict(one.state_dict())
    assert copy.update(at()).proportions.tolist() == one.update(at()).proportions.tolist()


def test_routers_are_trained_only_if_asked(at: At) -> None:
    assert mixer().requirements() == {"router_counts", "frozen_routers"}
    assert mixer(freeze_gate=False).requirements() == {"router_counts"}
