"""The gradient of an optimizer step depends on its samples, not on how they are split."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from .conftest import Run

# Plain gradient descent with rate one and no clipping: the change of the parameters is the gradient.
DESCENT = {
    "optim": "sgd",
    "learning_rate": 1.0,
    "lr_scheduler_type": "constant",
    "max_grad_norm": 0.0,
    "stage": "sft",
    "dataset": "sft,sft_long",
    "cutoff_len": 64,
    "train_step": 1,
}
DECISIONS: dict[str, dict[str, Any]] = {
    # Bounds of the step before exist from the second step on.
    "weight": {"train_type": "dynamic_weight", "component_params": {"r": 0.3}, "train_step": 2},
    "weight-sample": {
        "train_type": "dynamic_weight",
        "component_params": {"mass": "sample"},
        "train_step": 2,
    },
    "weight-same-step": {"train_type": "dynamic_weight", "component_params": {"bounds": "same_step"}},
    "weight-capped": {
        "train_type": "dynamic_weight",
        "component_params": {"strategy": "kl_dro", "r": 0.3, "max_weight": 1.5},
        "train_step": 2,
    },
    "odm": {"train_type": "dynamic_mix", "component_name": "odm", "update_step": 1, "update_times": -1},
    "mix": {"train_type": "dynamic_mix", "component_name": "random", "update_step": 1, "update_times": -1},
    "select": {
        "train_type": "dynamic_select",
        "component_name": "loss",
        "update_step": 1,
        "update_times": -1,
    },
}


def gradient(run: Run, model: Path) -> torch.Tensor:
    before = load_file(model / "model.safetensors")
    return torch.cat([(run.weights[name] - before[name]).flatten() for name in sorted(before)])


def split(batch: int, accumulation: int) -> dict[str, int]:
    return {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}


@pytest.mark.parametrize("decision", DECISIONS)
def test_batch_and_accumulation_do_not_matter(run: Callable[..., Run], tiny: Path, decision: str) -> None:
    keys = DESCENT | DECISIONS[decision]
    whole = gradient(run(**keys, **split(8, 1)), tiny / "model")
    assert whole.norm() > 1e-3
    for batch, accumulation in ((4, 2), (1, 8)):
        part = gradient(run(**keys, **split(batch, accumulation)), tiny / "model")
        assert (part - whole).norm() < 1e-6 * whole.norm()


def test_the_logged_loss_is_that_whose_gradient_is_applied(run: Callable[..., Run]) -> None:
    """However many micro-batches wait for the common scale of their weights."""
    keys = DESCENT | {"logging_steps": 1, "learning_rate": 0.1} | DECISIONS["weight"]
    whole, parts = (run(**keys, **split(*how)).losses for how in ((8, 1), (2, 4)))
    assert parts == pytest.approx(whole, rel=1e-5)
    plain = run(**keys | {"component_params": {"strategy": "none"}}, **split(8, 1)).losses
    assert plain[0] == pytest.approx(whole[0])
    assert plain[1] != pytest.approx(whole[1], rel=1e-4)


@pytest.mark.parametrize(
    ("params", "forwards"),
    [({}, 0), ({"max_weight": 2.0}, 1), ({"bounds": "same_step"}, 1), ({"strategy": "none"}, 0)],
)
def test_only_weights_that_compare_samples_need_a_forward_beforehand(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, params: dict[str, Any], forwards: int
) -> None:
    from dataflex.engine.trainer import DynamicTrainer

    made = []
    seen_beforehand = DynamicTrainer._seen_beforehand

    def counted(self: DynamicTrainer, batches: list[Any]) -> Any:
        made.append(len(batches))
        return seen_beforehand(self, batches)

    monkeypatch.setattr(DynamicTrainer, "_seen_beforehand", counted)
    keys = DESCENT | {"train_type": "dynamic_weight", "component_params": params}
    run(**keys, **split(2, 4))
    assert made == [4] * forwards
    made.clear()
    run(**keys, **split(8, 1))
    assert not made


@pytest.mark.slow
def test_ranks_do_not_matter(run: Callable[..., Run], torchrun: Callable[..., Run], tiny: Path) -> None:
    """Selection, mixture and weights at once, on two processes against one."""
    every = {"update_step": 1, "component_name": "loss"}
    keys = DESCENT | {
        "decisions": [
            {"kind": "select"} | every,
            {"kind": "mix"} | every | {"component_name": "random"},
            {"kind": "weight", "component_name": "loss", "component_params": {"r": 0.3}},
        ],
        "train_step": 2,
    }
    single, double = run(**keys, **split(8, 1)), torchrun(**keys, **split(2, 2))
    one, two = gradient(single, tiny / "model"), gradient(double, tiny / "model")
    assert (two - one).norm() < 1e-6 * one.norm()
    chosen = [run.lines("plan_log.jsonl")[1]["sha256"] for run in (single, double)]
    assert chosen[0] == chosen[1]
