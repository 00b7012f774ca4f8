"""Weights by a function of one's own: those that say nothing change nothing, to the last bit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dataflex.engine.component import Context, FloatArray

from .conftest import Run

KEYS: dict[str, Any] = {
    "stage": "sft",
    "dataset": "sft,sft_long",
    "cutoff_len": 64,
    "train_type": "dynamic_weight",
    "component_name": "custom",
    "train_step": 4,
}


def constant(losses: FloatArray, context: Context, value: float) -> FloatArray:
    return np.full(len(losses), value)


def of_domain(losses: FloatArray, context: Context) -> FloatArray:
    assert context.samples is not None
    return np.array([1.0, 0.0])[context.samples.domains]


def same(one: Run, other: Run) -> bool:
    weights = other.weights
    return one.losses == other.losses and all(torch.equal(w, weights[k]) for k, w in one.weights.items())


@pytest.mark.parametrize(
    ("value", "params"),
    [(1.0, {}), (1.0, {"normalize": "absolute"}), (1.0, {"scope": "sample"}), (0.3, {}), (7.0, {})],
)
def test_one_weight_for_all_is_bitwise_the_run_without_weights(
    run: Callable[..., Run], value: float, params: dict[str, Any]
) -> None:
    params = {"path": f"{__name__}:constant", "params": {"value": value}} | params
    # Of four steps the first three are a run without weights.
    plain, weighted = (run(**KEYS, component_params=params, warmup_step=start) for start in (3, 0))
    assert same(weighted, plain)


def test_absolute_weights_of_zero_train_nothing(run: Callable[..., Run], tiny: Path) -> None:
    """Weights without a common scale may all be zero: the step's loss is, and its gradient."""
    params = {"path": f"{__name__}:constant", "params": {"value": 0.0}, "normalize": "absolute"}
    done = run(**KEYS, component_params=params)
    assert done.losses == [0.0] * 4
    before = load_file(tiny / "model" / "model.safetensors")
    assert all(torch.equal(weight, before[name]) for name, weight in done.weights.items())
    logged = [line for line in done.lines("plan_log.jsonl") if line["decision"] == "weight"]
    assert [(line["weight_max"], line["effective_samples"]) for line in logged] == [(0.0, 0.0)] * 4


def test_weights_that_are_all_zero_have_no_common_scale(run: Callable[..., Run]) -> None:
    params = {"path": f"{__name__}:constant", "params": {"value": 0.0}}
    with pytest.raises(ValueError, match="weight zero"):
        run(**KEYS, component_params=params)


def test_a_function_sees_the_samples(run: Callable[..., Run]) -> None:
    """Weights of one domain only: the ledger still tells of both, and the plan log of the zeros."""
    done = run(**KEYS, component_params={"path": f"{__name__}:of_domain"}, per_device_train_batch_size=4)
    weights = [line for line in done.lines("plan_log.jsonl") if line["decision"] == "weight"]
    assert any(line["weight_min"] == 0 for line in weights)
    assert {line["domain"] for line in done.lines("ledger.jsonl") if line["samples"]} == {"sft", "sft_long"}
