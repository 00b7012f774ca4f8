"""Steps none of whose samples has a supervised token, as truncation leaves them: nothing to learn, no harm done."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from .conftest import Run

# Templates put so much in front of a question that cutoff_len leaves nothing of a longer answer, by its share.
ROWS = [
    {"instruction": "x", "input": "", "output": "B"},
    {"instruction": "x " * 400, "input": "", "output": "no answer will be left"},
]
DECISIONS: dict[str, dict[str, Any]] = {
    "nothing": {"train_type": "dynamic_mix", "static_mix": True},
    "selection": {"train_type": "dynamic_select", "component_name": "random", "update_step": 2},
    "loss weights": {"train_type": "dynamic_mix", "component_name": "doremi", "update_step": 1},
    "weights": {"train_type": "dynamic_weight"},
    "compared weights": {"train_type": "dynamic_weight", "component_params": {"bounds": "same_step"}},
    "means": {"train_type": "dynamic_weight", "component_params": {"mass": "sample"}},
}


@pytest.mark.parametrize("decision", DECISIONS)
def test_a_step_without_a_supervised_token_leaves_the_model_sound(
    run: Callable[..., Run], tiny: Path, tmp_path: Path, decision: str
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "rows.json").write_text(json.dumps(ROWS))
    (data / "dataset_info.json").write_text(json.dumps({"rows": {"file_name": "rows.json"}}))
    keys = DECISIONS[decision]
    if decision == "loss weights":
        keys = keys | {
            "component_params": {"reference_model_path": str(tiny / "model"), "reference_losses": "live"}
        }
    done = run(
        **keys,
        stage="sft",
        dataset_dir=str(data),
        dataset="rows",
        cutoff_len=8,
        train_step=6,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=1,
    )
    trained = [line["loss_tokens"] for line in done.lines("ledger.jsonl")]
    assert 0 in trained
    assert max(trained) > 0
    assert [loss for loss, tokens in zip(done.losses, trained, strict=True) if not tokens] == [
        0.0
    ] * trained.count(0)
    assert all(torch.isfinite(weight).all() for weight in done.weights.values())
