"""Mixing by expert load in real runs of tiny mixture-of-experts models."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dataflex.engine.step_losses import StepLosses
from dataflex.errors import UserError
from dataflex.mixers.dynamic_moe import DynamicMoeMixer

from ..models import KINDS_OF_EXPERTS
from .conftest import Run
from .cutting import assert_equal, cut_after

MIX: dict[str, Any] = {
    "train_type": "dynamic_mix",
    "component_name": "dynamic_moe",
    "component_params": {"eta": 3.0},
    "mixture_sample_rule": "uniform",
    "warmup_step": 2,
    "update_step": 3,
    "update_times": 2,
}


@pytest.fixture
def observed(monkeypatch: pytest.MonkeyPatch) -> list[StepLosses]:
    noted: list[StepLosses] = []
    original = DynamicMoeMixer.observe

    def noting(self: DynamicMoeMixer, losses: StepLosses, step: int) -> None:
        noted.append(losses)
        original(self, losses, step)

    monkeypatch.setattr(DynamicMoeMixer, "observe", noting)
    return noted


def gates(weights: dict[str, torch.Tensor]) -> set[str]:
    return {name for name in weights if name.endswith(".gate.weight")}


@pytest.mark.parametrize("kind", KINDS_OF_EXPERTS)
def test_routed_tokens_move_the_mixture_and_gates_stay(
    run: Callable[..., Run], experts: dict[str, Path], observed: list[StepLosses], kind: str
) -> None:
    done = run(**MIX, model_name_or_path=str(experts[kind]))
    assert len(observed) == 8
    for losses in observed:
        counts = losses.router_counts
        assert counts is not None
        assert counts.shape == (3, 2, 4)
        # Rows of plain text supervise all their tokens but the first; each goes to two experts of each layer.
        tokens = losses.loss_tokens + losses.samples
        assert counts.sum(2) == pytest.approx(2 * tokens[:, None] * np.ones((1, 2)))
    mixed = [line for line in done.lines("plan_log.jsonl") if line["decision"] == "mix"]
    assert [line["step"] for line in mixed] == [0, 2, 5]
    shares = [list(line["proportions"].values()) for line in mixed]
    assert shares[0] == pytest.approx([1 / 3] * 3)
    by_hand = DynamicMoeMixer(eta=3.0)
    for line, before, steps in zip(mixed[1:], shares, (observed[:2], observed[2:5]), strict=False):
        counts = np.sum([losses.router_counts for losses in steps], axis=0)
        distances = by_hand.distances(counts)
        assert list(line["distances"].values()) == pytest.approx(distances)
        odds = np.array(before) * np.exp(3.0 * distances)
        assert list(line["proportions"].values()) == pytest.approx(0.95 * odds / odds.sum() + 0.05 / 3)
    assert max(np.abs(np.subtract(shares[2], shares[0]))) > 1e-3
    before = load_file(experts[kind] / "model.safetensors")
    after = load_file(done.folder / "model.safetensors")
    assert gates(after)
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert not changed & gates(after)
    assert {name for name in after if "norm" not in name} - gates(after) <= changed


def test_gates_are_trained_if_asked(run: Callable[..., Run], experts: dict[str, Path]) -> None:
    keys = MIX | {"component_params": {"freeze_gate": False}, "update_times": 1}
    done = run(**keys, model_name_or_path=str(experts["mixtral"]))
    before, after = (load_file(one / "model.safetensors") for one in (experts["mixtral"], done.folder))
    assert all(not torch.equal(after[name], before[name]) for name in gates(after))


def test_counts_do_not_depend_on_micro_batches_and_padding(
    run: Callable[..., Run], experts: dict[str, Path], observed: list[StepLosses]
) -> None:
    """One step of the untouched model: other splits pad the same rows otherwise."""
    keys = MIX | {"warmup_step": 0, "update_step": 1, "update_times": 1, "train_step": 1}
    keys |= {"model_name_or_path": str(experts["qwen2_moe"]), "learning_rate": 0.0}
    keys |= {"stage": "sft", "dataset": "sft,sft_long", "cutoff_len": 64}
    for batch, accumulation in ((8, 1), (2, 4), (1, 8)):
        run(**keys, per_device_train_batch_size=batch, gradient_accumulation_steps=accumulation)
    first = observed[0].router_counts
    assert first is not None
    for other in observed[1:]:
        assert np.array_equal(other.router_counts, first)


@pytest.mark.parametrize("stop", [4, 5])
def test_a_run_that_was_cut_equals_one_that_never_stopped(
    run: Callable[..., Run], experts: dict[str, Path], stop: int
) -> None:
    """Cut with counts on the way (4) and right before an update (5)."""
    keys = MIX | {"model_name_or_path": str(experts["qwen3_moe"])}
    keys |= {"finetuning_type": "lora", "lora_rank": 2, "lora_dropout": 0.3}
    keys |= {"save_strategy": "steps", "save_steps": stop}
    whole = run(**keys)
    assert_equal(run(**keys, output_dir=str(cut_after(whole, stop))), whole)


def test_dense_models_are_refused_before_they_load(
    run: Callable[..., Run], tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import llamafactory.model

    def load_model(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(llamafactory.model, "load_model", load_model)
    with pytest.raises(UserError, match="is a Qwen2ForCausalLM, which has no router"):
        run(**MIX)


def test_what_hides_padding_is_refused(run: Callable[..., Run], experts: dict[str, Path]) -> None:
    keys = MIX | {"stage": "sft", "dataset": "sft", "neat_packing": True}
    with pytest.raises(UserError, match="tells tokens from padding, which neat_packing"):
        run(**keys, model_name_or_path=str(experts["mixtral"]))


@pytest.mark.slow
def test_ranks_do_not_matter(
    run: Callable[..., Run], torchrun: Callable[..., Run], experts: dict[str, Path]
) -> None:
    keys = MIX | {"model_name_or_path": str(experts["mixtral"]), "learning_rate": 0.0}
    one = run(**keys, per_device_train_batch_size=4, gradient_accumulation_steps=1)
    two = torchrun(**keys, per_device_train_batch_size=2, gradient_accumulation_steps=1)
    assert two.lines("plan_log.jsonl") == one.lines("plan_log.jsonl")
