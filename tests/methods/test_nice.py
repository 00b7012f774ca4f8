"""Oracles of NICE: a policy small enough to enumerate, hand tables, and what a selection leaves behind."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from dataflex.engine.component import Context, Facts, FloatArray, IntArray
from dataflex.errors import UserError
from dataflex.registry import build
from dataflex.selectors.nice import advantages
from dataflex.signals.rollouts import Rollouts, Sampling

At = Callable[..., Context]
THETA = torch.tensor([0.3, -0.5, 1.1], dtype=torch.float64)
REWARD = np.array([1.0, 0.25, -0.5])


def estimates(samples: int, repeats: int, reward: FloatArray, baseline: str) -> FloatArray:
    """Return Monte-Carlo gradients of ``sum_m A_m NLL(y_m) / samples`` by autograd, shape (repeats, 3)."""
    theta = THETA.expand(repeats, 3).clone().requires_grad_()
    log_policy = theta.log_softmax(1)
    answers = torch.multinomial(
        THETA.softmax(0), repeats * samples, replacement=True, generator=torch.Generator().manual_seed(2)
    ).view(repeats, samples)
    weights = advantages(reward[answers.numpy()], "vanilla", baseline, 0.0)
    negative = -log_policy.gather(1, answers)
    (torch.from_numpy(np.ascontiguousarray(weights)) * negative).sum().div(samples).backward()
    assert theta.grad is not None
    return theta.grad.numpy()


def closed_form(reward: FloatArray) -> FloatArray:
    """Return minus the gradient of the expected reward: ``-sum_y pi(y) R(y) (e_y - pi)``."""
    policy = THETA.softmax(0).numpy()
    return -sum(policy[y] * reward[y] * (np.eye(3)[y] - policy) for y in range(3))


@pytest.mark.parametrize("baseline", ["none", "leave_one_out"])
def test_the_estimate_has_the_policy_gradient_as_its_mean(baseline: str) -> None:
    """Within 4.5 standard errors, with few samples each, where a biased baseline would show most."""
    for samples in (2, 5):
        found = estimates(samples, 40_000, REWARD, baseline)
        error = found.std(0) / np.sqrt(len(found))
        assert (np.abs(found.mean(0) - closed_form(REWARD)) < 4.5 * error).all()


def test_enumerated_samples_give_the_leave_one_out_mean_exactly() -> None:
    """All pairs of answers with their probabilities: the mean is the closed form to rounding."""
    policy = THETA.softmax(0).numpy()
    total = np.zeros(3)
    for first in range(3):
        for second in range(3):
            weights = advantages(REWARD[[[first, second]]], "vanilla", "leave_one_out", 0.0)[0]
            gradient = sum(w * (policy - np.eye(3)[y]) for w, y in zip(weights, (first, second), strict=True))
            total += policy[first] * policy[second] * gradient / 2
    assert total == pytest.approx(closed_form(REWARD), abs=1e-14)


@pytest.mark.parametrize("baseline", ["none", "leave_one_out"])
def test_the_error_falls_with_the_root_of_the_samples(baseline: str) -> None:
    errors = [
        np.sqrt(((estimates(samples, 4000, REWARD, baseline) - closed_form(REWARD)) ** 2).mean())
        for samples in (40, 160, 640)
    ]
    assert np.divide(errors[:-1], errors[1:]) == pytest.approx([2, 2], rel=0.1)


def test_leave_one_out_lowers_the_variance_of_a_shifted_reward() -> None:
    shifted = REWARD + 3
    with_baseline, without = (estimates(20, 2000, shifted, b).var(0) for b in ("leave_one_out", "none"))
    assert (with_baseline < without / 4).all()


def test_advantages_by_hand() -> None:
    rewards = np.array([[1.0, 0.0, 0.5, 0.0], [0.0, 0.0, 0.0, 0.0], [0.1, 0.1, 0.1, 0.1]])
    assert np.array_equal(advantages(rewards, "vanilla", "none", 0.0), rewards)
    # 1 - mean(0, .5, 0), 0 - mean(1, .5, 0), ...
    first = [1 - 0.5 / 3, -1.5 / 3, 0.5 - 1 / 3, -1.5 / 3]
    left_out = advantages(rewards, "vanilla", "leave_one_out", 0.0)
    assert left_out[0] == pytest.approx(first)
    assert (left_out[1:] == 0).all()
    assert np.array_equal(
        advantages(rewards, "rejection", "none", 0.0), [[0.5, 0, 0.25, 0], [0] * 4, [0.025] * 4]
    )
    assert np.array_equal(advantages(rewards, "rejection", "none", 0.5)[0], [1, 0, 0, 0])
    negative = np.array([[-1.0, -2.0]])
    assert np.array_equal(advantages(negative, "rejection", "none", 0.0), [[0, 0]])
    assert np.array_equal(advantages(negative, "rejection", "none", -1.5), [[-1, 0]])


class Recorded:
    """Signals that note what they are asked for, over those of the test's context."""

    def __init__(
        self, signals: Any, texts: list[list[str]] | None = None, references: tuple[str, ...] | None = None
    ) -> None:
        self._signals, self._texts, self._references = signals, texts, references
        self.asked: list[tuple[Sampling, int]] = []
        self.given: dict[str, Any] = {}

    def rollouts(self, sampling: Sampling, seed: int) -> Rollouts:
        self.asked.append((sampling, seed))
        found = self._signals.rollouts(sampling, seed)
        if self._references:
            found = replace(found, references=self._references)
        return replace(found, texts=tuple(map(tuple, self._texts))) if self._texts else found

    def policy_targets(
        self, rollouts: Rollouts, advantages: FloatArray, groups: IntArray, features: Any
    ) -> Any:
        self.given = {"advantages": advantages, "groups": groups, "features": features}
        return self._signals.policy_targets(rollouts, advantages, groups, features)

    def alignment(self, targets: Any, features: Any, rows: IntArray | None = None) -> FloatArray:
        return self._signals.alignment(targets, features, rows)


def select(at: At, params: dict[str, Any], texts: list[list[str]] | None = None, step: int = 5) -> Any:
    context = at(step)
    signals = Recorded(context.signals, texts)
    context = replace(context, signals=signals)
    ids = build("select", "nice", params).select(context, 10)  # type: ignore[attr-defined]
    return ids, signals, context.notes


def test_the_rows_that_point_along_the_policy_gradient_are_taken(at: At) -> None:
    """The conftest's alignment rises with the row's number where the rewards' sum is positive."""
    ids, signals, notes = select(at, {})
    assert ids.tolist() == list(range(99, 89, -1))
    assert signals.asked[0][0] == Sampling(20, 1.2, 0.95, 50, 300)
    assert select(at, {"sampling_tokens": 7})[1].asked[0][0].batch_tokens == 7
    assert signals.given["advantages"].shape == (4, 20)
    assert notes["mean_reward"] == signals.given["advantages"].mean()
    assert 0 < notes["mean_reward"] < 1
    assert notes["answers_cut"] == 0.25


def test_sampling_changes_with_the_step_and_the_seed_alone(at: At) -> None:
    seeds = [select(at, {}, step=step)[1].asked[0][1] for step in (5, 5, 6)]
    assert seeds[0] == seeds[1] != seeds[2]


def test_groups_without_a_telling_row_are_left_out(at: At) -> None:
    """Subject x gets no reward at all, of subject y the second row does: one group, that row's."""
    texts = [["A", "A"], ["C", "D"], ["A", "A"], ["B", "A"]]
    params = {"mc_samples": 2, "validation_subtask": "subject", "baseline": "leave_one_out"}
    _, signals, notes = select(at, params, texts)
    assert signals.given["advantages"].tolist() == [[0, 0], [0, 0], [0, 0], [1, -1]]
    assert signals.given["groups"].tolist() == [0, 0, 0, 0]
    assert notes["rows_without_signal"] == 0.75
    assert notes["subtasks_without_signal"] == 1
    both = [["A", "B"], ["C", "D"], ["A", "A"], ["B", "A"]]
    assert select(at, params, both)[1].given["groups"].tolist() == [0, 0, 0, 1]


def test_no_reward_at_all_is_an_error_that_says_what_to_change(at: At) -> None:
    with pytest.raises(UserError, match=r"counts anything under reward 'option_match' \(mean 0\).*warmup_s"):
        select(at, {"mc_samples": 1}, [["A"]] * 4)
    with pytest.raises(UserError, match=r"\(mean 1\)"):
        select(at, {"mc_samples": 2, "baseline": "leave_one_out"}, [["B", "B"]] * 4)


def test_notes_are_short_and_json(at: At) -> None:
    _, _, everything = select(at, {"mc_samples": 1}, [["B" + " x" * 300]] * 4)
    notes = {key: note for key, note in everything.items() if not isinstance(note, np.ndarray)}
    assert len(notes["examples"]) == 3
    assert all(
        len(text) <= 200 for one in notes["examples"] for text in one.values() if isinstance(text, str)
    )
    assert json.loads(json.dumps(notes)) == notes
    assert notes["examples"][0]["reward"] == 1.0


def test_the_plan_log_tells_how_many_right_answers_fall_on_each_letter(at: At) -> None:
    explained = (
        "A) False. B) True. So the correct option is B.",
        "A: no. Hence the right choice is (C).",
        "B",
        "B",
    )
    context = at(5)
    signals = Recorded(context.signals, [["So (B)."]] * 4, explained)
    context = replace(context, signals=signals)
    build("select", "nice", {"mc_samples": 1}).select(context, 10)  # type: ignore[attr-defined]
    assert context.notes["right_answers"] == {"B": 3, "C": 1}
    assert signals.given["advantages"].tolist() == [[1], [0], [1], [1]]
    assert "right_answers" not in select(at, {"reward": "token_f1"}, [["B"]] * 4)[2]


def test_right_answers_without_an_option_are_refused_before_training(facts: Facts) -> None:
    assert facts.validation is not None
    answers = ("B", "Paris", "(C) Rome", "B cells")
    facts = replace(facts, validation=replace(facts.validation, references=lambda: answers))
    with pytest.raises(
        UserError, match=r"2 of the 4 right answers .* row 1 \('Paris'\), row 3 \('B cells'\)"
    ):
        build("select", "nice", {}).check(facts)
    build("select", "nice", {"reward": "token_f1"}).check(facts)


def test_parameters_that_do_not_fit_are_refused_before_training(facts: Facts) -> None:
    for params, message in [
        ({"reward": "bleu"}, "no reward is called 'bleu'"),
        ({"reward": "endpoint"}, "needs the parameter endpoint"),
        ({"reward": "no_such_module:f"}, "can't be imported"),
    ]:
        with pytest.raises(UserError, match=message):
            build("select", "nice", params).check(facts)
    for params, message in [
        ({"baseline": "leave_one_out", "mc_samples": 1}, "mc_samples of at least 2"),
        ({"baseline": "leave_one_out", "policy": "rejection"}, "policy vanilla"),
        ({"endpoint": {"base_url": "http://x", "modell": "m"}}, "endpoint.model is missing"),
        (
            {"endpoint": {"base_url": "http://x", "model": "m", "timeut": 1}},
            "unknown key 'endpoint.timeut', did you mean 'endpoint.timeout'",
        ),
    ]:
        with pytest.raises(UserError, match=message):
            build("select", "nice", params)
