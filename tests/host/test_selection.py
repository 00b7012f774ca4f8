"""Selection by gradients in real runs: scores as by hand, nothing left behind, checkpoints, subtasks, faults."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from .conftest import Run

SELECT: dict[str, Any] = {
    "stage": "sft",
    "dataset": "sft",
    "eval_dataset": "target",
    "finetuning_type": "lora",
    "lora_rank": 2,
    "lora_dropout": 0.3,
    "cutoff_len": 64,
    "train_type": "dynamic_select",
    "component_name": "less",
    "warmup_step": 3,
    "update_step": 2,
    "update_times": 2,
}


@pytest.fixture
def config(config: dict[str, Any], tiny: Path) -> dict[str, Any]:
    """With a validation set: ten rows of the pool's own kind, in two subtasks."""
    rows = json.loads((tiny / "data" / "sft.json").read_text())[:10]
    for number, row in enumerate(rows):
        row["subject"] = "even" if number % 2 == 0 else "odd"
    (tiny / "data" / "target.json").write_text(json.dumps(rows))
    info = json.loads((tiny / "data" / "dataset_info.json").read_text())
    info["target"] = {"file_name": "target.json"}
    (tiny / "data" / "dataset_info.json").write_text(json.dumps(info))
    return config | SELECT


def scores(run: Run, step: int = 3) -> np.ndarray:
    return np.load(run.folder / "selections" / f"step-{step:06d}.scores.npy")


@pytest.mark.parametrize(
    "keys", [{}, {"disable_gradient_checkpointing": True}], ids=["checkpointed", "plain"]
)
def test_a_selection_by_gradients_leaves_training_bitwise_as_it_was(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, keys: dict[str, Any]
) -> None:
    """Random rows with LESS measured beside them, against random rows alone; dropout is on."""
    from dataflex.selectors.less import LessSelector
    from dataflex.selectors.random import RandomSelector

    plain = run(component_name="random", **keys)
    monkeypatch.setattr(
        LessSelector,
        "pick",
        lambda self, scores, context, n: RandomSelector().select(context, n),
    )
    watched = run(**keys)
    assert [line.get("sha256") for line in watched.lines("plan_log.jsonl")] == [
        line.get("sha256") for line in plain.lines("plan_log.jsonl")
    ]
    assert watched.losses == plain.losses
    assert all(torch.equal(watched.weights[name], weight) for name, weight in plain.weights.items())


def test_gradient_checkpointing_and_batch_size_do_not_change_the_scores(run: Callable[..., Run]) -> None:
    first = scores(run(lora_dropout=0.0))
    for keys in (
        {"disable_gradient_checkpointing": True},
        {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 1},
    ):
        assert scores(run(lora_dropout=0.0, **keys)) == pytest.approx(first, rel=1e-4, abs=1e-6)


def test_a_subtask_column_is_read_from_the_file(run: Callable[..., Run]) -> None:
    by_subtask = run(component_params={"validation_subtask": "subject"})
    assert (scores(by_subtask) >= scores(run()) - 1e-6).all()
    assert by_subtask.lines("plan_log.jsonl")[0]["validation_rows"] == 10


def test_full_training_and_the_projected_back_end(run: Callable[..., Run]) -> None:
    """At 4096 dimensions cosines are off by about 1/64."""
    keys = {"finetuning_type": "full", "train_step": 5}
    exact = scores(run(**keys))
    params = {"backend": "projected", "proj_dim": 4096, "keep_gradients": True}
    projected = run(component_params=params, **keys)
    error = scores(projected) - exact
    assert 0 < np.sqrt((error**2).mean()) < 1.5 / 64
    assert np.abs(error).max() < 5 / 64
    from dataflex.signals.store import describe

    about = describe(projected.folder / "gradients" / "step-000003")
    assert about["projection"]["dimension"] == 4096
    assert about["rows"] == len(exact)


def test_scores_over_checkpoints_are_weighted_by_learning_rate(run: Callable[..., Run]) -> None:
    """Two checkpoints of a warm-up run: the sum of each one's scores, weighted; the run goes on as it was."""
    warm = run(
        train_type="dynamic_mix", component_name="static", max_steps=4, save_strategy="steps", save_steps=2
    )
    folders = [str(warm.folder / f"checkpoint-{step}") for step in (2, 4)]
    keys = {"warmup_step": 0, "update_step": 4, "update_times": 1}
    each = [run(component_params={"checkpoints": [folder]}, **keys) for folder in folders]
    both = run(component_params={"checkpoints": folders}, **keys)
    rates = np.array(list(both.lines("plan_log.jsonl")[0]["checkpoints"].values()))
    expected = (rates[:, None] * np.stack([scores(one, 0) for one in each])).sum(0) / rates.sum()
    assert rates[0] > rates[1] > 0
    assert scores(both, 0) == pytest.approx(expected, rel=1e-5)
    assert not np.allclose(scores(each[0], 0), scores(each[1], 0), rtol=1e-3)


def test_scores_at_a_checkpoint_are_those_of_the_run_that_saved_it(run: Callable[..., Run]) -> None:
    saved = run(save_strategy="steps", save_steps=3, warmup_step=3, update_times=1)
    again = run(
        component_params={"checkpoints": [str(saved.folder / "checkpoint-3")]}, warmup_step=0, update_times=1
    )
    assert scores(again, 0) == pytest.approx(scores(saved, 3), rel=1e-5)
