"""Where dataflex changes nothing, LLaMA-Factory's own numbers come out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dataflex.host import static
from dataflex.host.prepare import check

from .conftest import Run


def stock(config: dict[str, Any], folder: Path) -> Run:
    from llamafactory.train.tuner import run_exp

    run_exp(config | {"output_dir": str(folder)})
    return Run(folder)


def test_static_is_llamafactory_bit_for_bit(config: dict[str, Any], tmp_path: Path) -> None:
    config |= {"max_steps": 4}
    theirs = stock(config, tmp_path / "stock")
    ours = config | {"train_type": "static", "component_name": "loss", "output_dir": str(tmp_path / "ours")}
    static.train(check(ours))
    mine = Run(tmp_path / "ours")
    assert mine.losses == theirs.losses
    assert len(mine.losses) == 4
    for name, weight in theirs.weights.items():
        assert torch.equal(mine.weights[name], weight)
    manifest = json.loads((mine.folder / "manifest.json").read_text())
    assert manifest["status"] == "completed"
    assert manifest["train_type"] == "static"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"stage": "sft", "dataset": "sft"},
        {"stage": "sft", "dataset": "sft", "finetuning_type": "lora", "lora_target": "all"},
    ],
    ids=["pt-full", "sft-full", "sft-lora"],
)
def test_weights_of_one_give_the_stock_loss(
    run: Callable[..., Run], changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same rows through our loss and through the stock one: equal losses, gradients and parameters."""
    from transformers import Trainer

    from dataflex.engine.feed import ROW_IDS
    from dataflex.engine.trainer import DynamicTrainer

    keys = {
        "train_type": "dynamic_weight",
        "component_params": {"strategy": "none"},
        "train_step": 4,
    } | changes
    ours = run(**keys)

    def stock_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):  # type: ignore[no-untyped-def]
        ids = inputs.pop(ROW_IDS)
        zeros = torch.zeros(len(ids))
        self.conductor.ledger.record(torch.zeros(len(ids), dtype=torch.long), zeros, zeros)
        return Trainer.compute_loss(self, model, inputs, return_outputs, num_items_in_batch)

    monkeypatch.setattr(DynamicTrainer, "compute_loss", stock_loss)
    theirs = run(**keys)
    assert ours.losses == pytest.approx(theirs.losses, rel=1e-6)
    for name, weight in theirs.weights.items():
        torch.testing.assert_close(ours.weights[name], weight, rtol=1e-5, atol=1e-6)


def test_evaluation_is_never_reweighted(run: Callable[..., Run], config: dict[str, Any]) -> None:
    """With a learning rate of zero the evaluation loss is the same, weighted or not, and the stock one."""
    keys = {
        "eval_dataset": "docs",
        "do_eval": True,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "learning_rate": 0.0,
    }
    weighted = run(train_type="dynamic_weight", train_step=2, component_params={"r": 0.01}, **keys)
    plain = stock(config | keys | {"max_steps": 2}, weighted.folder.parent / "plain")

    def losses(one: Run) -> list[float]:
        history = json.loads((one.folder / "trainer_state.json").read_text())["log_history"]
        return [entry["eval_loss"] for entry in history if "eval_loss" in entry]

    assert losses(weighted) == losses(plain)
    assert len(losses(plain)) >= 1
