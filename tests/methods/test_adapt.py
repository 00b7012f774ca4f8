"""Oracles of ADAPT: weights of known angles, when anchors are measured, and which."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dataflex.engine.component import Context, Facts, FloatArray, IntArray, Samples, ValidationFacts
from dataflex.errors import UserError
from dataflex.registry import build

At = Callable[..., Context]


class States:
    """Fixed vectors of the validation rows; notes which were asked for."""

    def __init__(self, vectors: FloatArray) -> None:
        self.vectors = vectors
        self.asked: list[list[int]] = []

    def validation_states(self, rows: IntArray) -> FloatArray:
        self.asked.append(rows.tolist())
        return self.vectors[rows]


def samples(states: Any) -> Samples:
    made = np.asarray(states, float)
    return Samples(*(np.arange(len(made)),) * 3, states=made)


def weights(at: At, anchors: Any, states: Any, **params: Any) -> FloatArray:
    anchors = np.asarray(anchors, float)
    weighter: Any = build("weight", "adapt", params)
    context = at(signals=States(anchors))
    facts = replace(context.facts, validation=ValidationFacts(len(anchors), {}))
    context = replace(context, facts=facts, samples=samples(states))
    weighter.before_step(context)
    return np.asarray(weighter.weights(np.ones(len(states)), context))


def test_angles_with_one_anchor(at: At) -> None:
    """Along, across and against the anchor: the logistic function of 1, 0 and -1."""
    along = weights(at, [[0, 1]], [[0, 1], [1, 0], [0, -1]])
    assert along == pytest.approx([0.7310586, 0.5, 0.2689414])
    sharper = weights(at, [[0, 1]], [[0, 1], [0, -1]], tau=0.1)
    assert sharper == pytest.approx([1 / (1 + np.exp(-10)), 1 / (1 + np.exp(10))])
    assert weights(at, [[0, 1]], [[0, 1], [0, -1]], tau=1e9) == pytest.approx([0.5, 0.5])
    assert np.isfinite(weights(at, [[0, 1]], [[0, 1], [0, -1]], tau=1e-9)).all()


def test_a_score_is_the_mean_cosine_with_all_anchors(at: At) -> None:
    rng = np.random.default_rng(0)
    anchors, states = (rng.standard_normal((n, 6)) for n in (9, 4))
    anchors, states = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (anchors, states))
    scores = np.array([np.mean([state @ anchor for anchor in anchors]) for state in states])
    assert weights(at, anchors, states, tau=0.3) == pytest.approx(1 / (1 + np.exp(-scores / 0.3)))
    own = np.mean([a @ b for i, a in enumerate(anchors) for j, b in enumerate(anchors) if i != j])
    centred = weights(at, anchors, states, tau=0.3, centre=True)
    assert centred == pytest.approx(1 / (1 + np.exp(-(scores - own) / 0.3)))
    assert weights(at, anchors[:1], anchors[:1], centre=True) == pytest.approx([0.5])


def test_bounds(at: At) -> None:
    found = weights(at, [[0, 1]], [[0, 1], [1, 0], [0, -1]], min_weight=0.4, max_weight=0.6)
    assert found == pytest.approx([0.6, 0.5, 0.4])
    with pytest.raises(UserError, match=r"min_weight 0.5 is more than max_weight 0.2"):
        build("weight", "adapt", {"min_weight": 0.5, "max_weight": 0.2})


def test_anchors_are_measured_once_an_interval(at: At) -> None:
    weighter: Any = build("weight", "adapt", {"refresh_interval": 4})
    signals = States(np.eye(4))
    for step in range(3, 14):
        weighter.before_step(at(step, signals=signals))
    assert len(signals.asked) == 3
    assert all(rows == [0, 1, 2, 3] for rows in signals.asked)


def test_a_restored_copy_measures_when_the_original_would(at: At) -> None:
    first, copy = (build("weight", "adapt", {"refresh_interval": 4}) for _ in range(2))
    assert first.state_dict() == {}
    copy.load_state_dict({})
    assert copy.state_dict() == {}
    first.before_step(at(3, signals=States(np.eye(4))))  # type: ignore[attr-defined]
    copy.load_state_dict(first.state_dict())
    asked = []
    for one in (first, copy):
        signals = States(np.eye(4))
        for step in (4, 6, 7):
            one.before_step(at(step, signals=signals))  # type: ignore[attr-defined]
            asked.append(len(signals.asked))
    assert asked == [0, 0, 1] * 2


def test_a_subset_of_anchors_is_the_same_at_every_step(at: At, facts: Facts) -> None:
    weighter: Any = build("weight", "adapt", {"anchors": 2, "refresh_interval": 1})
    signals = States(np.eye(4))
    for step in (1, 2, 30):
        weighter.before_step(at(step, signals=signals))
    assert signals.asked[0] == signals.asked[1] == signals.asked[2]
    assert len(set(signals.asked[0])) == 2
    drawn = {tuple(weighter.anchor_rows(at(1, seed=seed)).tolist()) for seed in range(100)}
    assert len(drawn) == 6
    with pytest.raises(UserError, match="anchors: 5 are more than the 4 validation rows"):
        build("weight", "adapt", {"anchors": 5}).check(facts)


def test_the_scale_of_weights_is_kept_unless_it_is_made_one(at: At) -> None:
    assert not build("weight", "adapt", {}).relative()  # type: ignore[attr-defined]
    assert build("weight", "adapt", {"normalize": "mean1"}).relative()  # type: ignore[attr-defined]
