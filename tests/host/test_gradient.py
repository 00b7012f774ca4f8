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
    "weight": {"train_type": "dynamic_weight", "component_params": {"r": 0.3}},
    "weight-sample": {"train_type": "dynamic_weight", "component_params": {"mass": "sample"}},
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


@pytest.mark.slow
def test_ranks_do_not_matter(run: Callable[..., Run], torchrun: Callable[..., Run], tiny: Path) -> None:
    """Selection, mixture and weights at once, on two processes against one."""
    every = {"update_step": 1, "component_name": "loss"}
    keys = DESCENT | {
        "decisions": [
            {"kind": "select"} | every,
            {"kind": "mix"} | every | {"component_name": "random"},
            {"kind": "weight", "component_name": "loss", "component_params": {"r": 0.3}},
        ]
    }
    single, double = run(**keys, **split(8, 1)), torchrun(**keys, **split(2, 2))
    one, two = gradient(single, tiny / "model"), gradient(double, tiny / "model")
    assert (two - one).norm() < 1e-6 * one.norm()
    chosen = [run.lines("plan_log.jsonl")[1]["sha256"] for run in (single, double)]
    assert chosen[0] == chosen[1]
