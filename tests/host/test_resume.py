"""A run that goes on from a checkpoint equals one that never stopped, bit by bit."""

import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch

from dataflex.errors import UserError

from .conftest import Run

SCHEDULE = {"warmup_step": 3, "update_step": 4, "update_times": 2}
CYCLE = SCHEDULE | {"num_train_epochs": 1}
RUNS: dict[str, dict[str, Any]] = {
    "select": {"train_type": "dynamic_select", "component_name": "loss"} | CYCLE,
    "mix": {"train_type": "dynamic_mix", "component_name": "random"} | CYCLE,
    "weight": {"train_type": "dynamic_weight", "warmup_step": 2, "train_step": 11},
    "all": {
        "num_train_epochs": 1,
        "decisions": [
            {
                "kind": "select",
                "component_name": "loss",
                "warmup_step": 3,
                "update_step": 4,
                "update_times": 2,
            },
            {
                "kind": "mix",
                "component_name": "random",
                "warmup_step": 2,
                "update_step": 3,
                "update_times": 3,
            },
            {"kind": "weight", "component_name": "loss", "warmup_step": 4},
        ],
    },
}
# Dropout makes the test see the random states too.
LORA = {"finetuning_type": "lora", "lora_target": "all", "lora_dropout": 0.3}


@pytest.mark.parametrize("stop", [5, 7])
@pytest.mark.parametrize("name", RUNS)
def test_resume_is_bitwise_equal(run: Callable[..., Run], name: str, stop: int) -> None:
    """Stop in mid-phase (5) and right before a decision (7)."""
    keys = RUNS[name] | LORA | {"save_strategy": "steps", "save_steps": stop}
    whole = run(**keys)
    cut = whole.folder.with_name("cut")
    # What a kill leaves: journals and later checkpoints reach beyond the one that is whole.
    shutil.copytree(whole.folder, cut)
    for later in cut.glob("checkpoint-*"):
        if int(later.name.rsplit("-")[-1]) > stop:
            (later / "trainer_state.json").unlink()
    (cut / "adapter_model.safetensors").unlink()
    resumed = run(**keys | {"output_dir": str(cut)})
    assert resumed.losses == whole.losses
    for log in ("plan_log.jsonl", "ledger.jsonl"):
        assert resumed.lines(log) == whole.lines(log)
    for key, weight in whole.weights.items():
        assert torch.equal(resumed.weights[key], weight), key
    last = max(whole.folder.glob("checkpoint-*"), key=lambda path: int(path.name.rsplit("-")[-1])).name
    states = [json.loads((one / last / "dataflex/state.json").read_text()) for one in (whole.folder, cut)]
    assert states[0] == states[1]
    assert json.loads((cut / "manifest.json").read_text())["resumed"] == 1


def test_a_finished_run_has_nothing_left_to_train(run: Callable[..., Run]) -> None:
    whole = run(**RUNS["mix"], save_strategy="steps", save_steps=5)
    losses, lines = whole.losses, whole.lines("ledger.jsonl")
    (whole.folder / "model.safetensors").unlink()
    again = run(**RUNS["mix"], save_strategy="steps", save_steps=5, output_dir=str(whole.folder))
    assert again.losses == losses
    assert again.lines("ledger.jsonl") == lines
    assert again.weights


def test_a_checkpoint_may_start_a_run_elsewhere(run: Callable[..., Run]) -> None:
    whole = run(**RUNS["mix"], save_strategy="steps", save_steps=5)
    moved = run(**RUNS["mix"], resume_from_checkpoint=str(whole.folder / "checkpoint-5"))
    assert moved.lines("ledger.jsonl") == whole.lines("ledger.jsonl")[15:]
    for key, weight in whole.weights.items():
        assert torch.equal(moved.weights[key], weight)


@pytest.mark.slow
def test_resume_on_two_ranks(torchrun: Callable[..., Run]) -> None:
    keys = RUNS["all"] | LORA | {"save_strategy": "steps", "save_steps": 5}
    whole = torchrun(**keys)
    losses, plan = whole.losses, whole.lines("plan_log.jsonl")
    weights = whole.weights
    for later in ("checkpoint-10", "checkpoint-11"):
        shutil.rmtree(whole.folder / later)
    resumed = torchrun(**keys)
    assert json.loads((resumed.folder / "manifest.json").read_text())["resumed"] == 1
    assert resumed.losses == losses
    assert resumed.lines("plan_log.jsonl") == plan
    for key, weight in weights.items():
        assert torch.equal(resumed.weights[key], weight), key


def test_a_checkpoint_of_other_data_is_refused(run: Callable[..., Run]) -> None:
    first = run(**RUNS["mix"], save_strategy="steps", save_steps=5)
    with pytest.raises(UserError, match="made with batch_rows 4, this run has 8"):
        run(**RUNS["mix"], output_dir=str(first.folder), gradient_accumulation_steps=4)


def test_overwriting_starts_anew(run: Callable[..., Run]) -> None:
    first = run(**RUNS["mix"], save_strategy="steps", save_steps=5)
    lines = first.lines("ledger.jsonl")
    again = run(**RUNS["mix"], output_dir=str(first.folder), overwrite_output_dir=True)
    assert again.lines("ledger.jsonl") == lines
    assert json.loads((again.folder / "manifest.json").read_text())["resumed"] == 0
