"""ADAPT in real runs: vectors from the training forward, anchors once an interval, resume."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from dataflex.engine.measuring import Measurements
from dataflex.engine.seen import Seen
from dataflex.engine.trainer import DynamicTrainer
from dataflex.signals.losses import token_losses
from dataflex.signals.states import StateTap
from dataflex.weighters.adapt import AdaptWeighter

from .conftest import Run
from .cutting import assert_equal, cut_after
from .test_gradient import DESCENT, gradient, split

ADAPT: dict[str, Any] = {
    "stage": "sft",
    "dataset": "sft",
    "eval_dataset": "target",
    "cutoff_len": 64,
    "train_type": "dynamic_weight",
    "component_name": "adapt",
    "component_params": {"tau": 0.05, "centre": True, "refresh_interval": 3},
    "warmup_step": 2,
    "train_step": 9,
}
LORA = {"finetuning_type": "lora", "lora_target": "all", "lora_rank": 2, "lora_dropout": 0.3}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Note the step and the rows of every measurement of anchors."""
    noted: list[tuple[int, int]] = []
    original = Measurements.validation_states

    def noting(self: Measurements, rows: np.ndarray) -> np.ndarray:
        noted.append((self._step, len(rows)))
        return original(self, rows)

    monkeypatch.setattr(Measurements, "validation_states", noting)
    return noted


def test_anchors_are_measured_once_an_interval_however_many_micro_batches(
    run: Callable[..., Run], measured: list[tuple[int, int]]
) -> None:
    done = run(**ADAPT, gradient_accumulation_steps=4)
    assert measured == [(2, 10), (5, 10), (8, 10)]
    weights = [line for line in done.lines("plan_log.jsonl") if line["decision"] == "weight"]
    assert [line["step"] for line in weights] == list(range(2, 9))
    assert all(line["samples"] == 8 for line in weights)
    assert all(line["weight_max"] > 1.05 * line["weight_min"] for line in weights)


@pytest.mark.parametrize("keys", [{}, LORA | {"lora_dropout": 0.0}], ids=["full", "lora"])
def test_samples_come_with_the_vectors_that_a_measurement_gives(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, keys: dict[str, Any]
) -> None:
    """The pool's first ten rows are the validation rows: with a rate of zero both ways see one model.

    The measurement runs in evaluation mode and in other batches. Neither evaluation between the steps nor
    gradient checkpointing, which is on by default, adds to what was heard.
    """
    seen: dict[int, np.ndarray] = {}
    measured: list[np.ndarray] = []
    samples, states = Seen.samples, Measurements.validation_states

    def noting(self: Seen) -> Any:
        found = samples(self)
        assert found.states is not None
        seen.update(zip(found.rows.tolist(), found.states, strict=True))
        return found

    def keeping(self: Measurements, rows: np.ndarray) -> np.ndarray:
        measured.append(states(self, rows))
        return measured[-1]

    monkeypatch.setattr(Seen, "samples", noting)
    monkeypatch.setattr(Measurements, "validation_states", keeping)
    run(
        **ADAPT
        | keys
        | {
            "learning_rate": 0.0,
            "warmup_step": 0,
            "train_step": 0,
            "num_train_epochs": 1,
            "do_eval": True,
            "eval_strategy": "steps",
            "eval_steps": 4,
        }
    )
    both = [row for row in range(10) if row in seen]
    assert len(both) == 10
    assert np.linalg.norm(measured[0], axis=1) == pytest.approx(np.ones(10))
    for row in both:
        assert seen[row] == pytest.approx(measured[0][row], abs=5e-6)


def test_no_tap_without_need(run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: StateTap, model: Any) -> None:
        raise AssertionError("a hook was registered")

    monkeypatch.setattr(StateTap, "__init__", refuse)
    run(train_type="dynamic_weight", train_step=1)


def test_one_weight_for_all_is_the_plain_loss(run: Callable[..., Run]) -> None:
    """A large tau makes all weights one half: made one in the mean nothing is left of them."""
    keys = ADAPT | {
        "warmup_step": 0,
        "train_step": 4,
        "component_params": {"normalize": "mean1", "tau": 1e12},
    }
    plain = run(**keys | {"warmup_step": 3})
    assert run(**keys).losses == pytest.approx(plain.losses, rel=1e-5)
    halved = run(**keys | {"component_params": {"tau": 1e12}, "learning_rate": 0.0})
    full = run(**keys | {"learning_rate": 0.0})
    assert halved.losses == pytest.approx([loss / 2 for loss in full.losses], abs=1e-4)


@pytest.mark.parametrize("normalize", ["absolute", "mean1"])
def test_the_split_into_micro_batches_does_not_matter(
    run: Callable[..., Run], tiny: Path, normalize: str
) -> None:
    params = {"tau": 0.05, "centre": True, "normalize": normalize}
    keys = ADAPT | DESCENT | {"component_params": params, "warmup_step": 0, "train_step": 1}
    whole = gradient(run(**keys, **split(8, 1)), tiny / "model")
    assert whole.norm() > 1e-3
    for batch, accumulation in ((4, 2), (1, 8)):
        part = gradient(run(**keys, **split(batch, accumulation)), tiny / "model")
        assert (part - whole).norm() < 1e-5 * whole.norm()


def test_no_gradient_flows_through_the_weights(
    run: Callable[..., Run], tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step equals one by autograd in which the weights are numbers."""
    compute_loss, weights = DynamicTrainer.compute_loss, AdaptWeighter.weights
    batches: list[dict[str, torch.Tensor]] = []
    noted: list[np.ndarray] = []

    def keeping(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        batches.append({key: value.clone() for key, value in inputs.items()})
        return compute_loss(self, model, inputs, *args, **kwargs)

    def noting(self: Any, losses: Any, context: Any) -> Any:
        noted.append(weights(self, losses, context))
        return noted[-1]

    monkeypatch.setattr(DynamicTrainer, "compute_loss", keeping)
    monkeypatch.setattr(AdaptWeighter, "weights", noting)
    done = run(**ADAPT | DESCENT | {"warmup_step": 0, "train_step": 1}, **split(4, 1))
    (batch,), (given,) = batches, noted
    model = AutoModelForCausalLM.from_pretrained(tiny / "model")
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    losses, counted = token_losses(logits, batch["labels"])
    ((losses.sum(1) * torch.from_numpy(given)).sum() / counted.sum()).backward()
    expected = torch.cat([p.grad.flatten() for _, p in sorted(model.named_parameters())])
    found = -gradient(done, tiny / "model")
    assert (found - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize("stop", [4, 5])
def test_a_run_that_was_cut_equals_one_that_never_stopped(
    run: Callable[..., Run], stop: int, measured: list[tuple[int, int]]
) -> None:
    """Cut between two measurements of the anchors (4) and right before one (5)."""
    keys = ADAPT | LORA | {"save_strategy": "steps", "save_steps": stop}
    whole = run(**keys)
    assert [step for step, _ in measured] == [2, 5, 8]
    measured.clear()
    resumed = run(**keys, output_dir=str(cut_after(whole, stop)))
    assert [step for step, _ in measured] == [5, 8]
    assert_equal(resumed, whole)


@pytest.mark.slow
@pytest.mark.parametrize("normalize", ["absolute", "mean1"])
def test_ranks_do_not_matter(
    run: Callable[..., Run], torchrun: Callable[..., Run], tiny: Path, normalize: str
) -> None:
    params = {"tau": 0.05, "centre": True, "normalize": normalize, "anchors": 7}
    keys = ADAPT | DESCENT | {"component_params": params, "warmup_step": 0, "train_step": 1}
    one = gradient(run(**keys, **split(8, 1)), tiny / "model")
    two = gradient(torchrun(**keys, **split(2, 2)), tiny / "model")
    assert (two - one).norm() < 1e-5 * one.norm()
