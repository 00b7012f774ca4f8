"""The predicted memory of a run against what PyTorch's allocator handed out in it."""

import json
from pathlib import Path
from typing import Any

import pytest
from laptop.allocated import peak_allocated

from dataflex.host.memory import Memory, predict_memory
from dataflex.host.plan import run_plan
from dataflex.host.prepare import check, prepare
from dataflex.host.train import train

from .conftest import SELECTION

MIX = {"train_type": "dynamic_mix", "component_name": "odm", "update_step": 1, "train_step": 3}
LESS = SELECTION | {"component_name": "less", "update_times": 1}
RUNS: dict[str, dict[str, Any]] = {
    "pre-training": MIX | {"cutoff_len": 64, "per_device_train_batch_size": 4},
    "without checkpointing": MIX | {"disable_gradient_checkpointing": True},
    "a reference model beside it": MIX | {"component_name": "doremi"},
    "several micro-batches": MIX | {"gradient_accumulation_steps": 4},
    "less": LESS | {"finetuning_type": "full"},
    "less, subtasks": LESS
    | {"finetuning_type": "full", "component_params": {"validation_subtask": "subject"}},
    "less, adapters": LESS | {"per_device_train_batch_size": 8},
    "less, projected": LESS | {"component_params": {"backend": "projected", "proj_dim": 256}},
}


def allocated(config: dict[str, Any]) -> int:
    return peak_allocated(lambda: train(check(config)))


def predicted(config: dict[str, Any]) -> Memory:
    return predict_memory(prepare(check(config, planned_ranks=1)))


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_the_prediction_is_what_a_run_takes(config: dict[str, Any], tiny: Path, name: str) -> None:
    config |= RUNS[name]
    if config["component_name"] == "doremi":
        config["component_params"] = {"reference_model_path": str(tiny / "model"), "reference_losses": "live"}
    found = predicted(config)
    peak = max(found.training, found.selection or 0)
    assert peak == pytest.approx(allocated(config), rel=0.1)


def test_what_is_partitioned_is_divided() -> None:
    memory = Memory(
        weights=100,
        reference=60,
        gradients=100,
        moments=200,
        layer=30,
        training=600,
        passing=550,
        selection=490,
    )
    assert memory.peaks(1) == {"one process": (600, 490)}
    assert memory.peaks(4) == {
        "data parallelism": (700, 490),
        # A quarter of the moments, then of the gradients, then of both models and a layer.
        "ZeRO-1": (600 - 150, 490 - 150),
        "ZeRO-2": (550 + 25 - 150, 490 - 150),
        "ZeRO-3, FSDP2": (550 + 25 - 150 - 90, 490 - 150 - 90),
    }


def test_the_plan_tells_the_memory(config: dict[str, Any]) -> None:
    plan = run_plan(prepare(check(config | MIX, planned_ranks=2)), memory=True)
    assert json.loads(json.dumps(plan)) == plan
    assert next(iter(plan["memory"]["peaks"])) == "data parallelism"
    saved = Path(config["model_name_or_path"]) / "model.safetensors"
    # The file has a header besides.
    assert plan["memory"]["weights"] == pytest.approx(saved.stat().st_size, rel=0.05)
