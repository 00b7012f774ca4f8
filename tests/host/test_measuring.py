"""A pass over the pool: right, independent of batching, and without a trace."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM

from dataflex.engine.measuring import Measurements
from dataflex.signals.losses import pool_losses, sample_losses
from dataflex.signals.passes import Rows, token_batches
from dataflex.signals.untouched import untouched

from .conftest import Run


@pytest.fixture
def model(tiny: Path) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(tiny / "model").eval()


@pytest.fixture
def rows() -> list[list[int]]:
    generator = np.random.default_rng(0)
    return [generator.integers(5, 300, size=length).tolist() for length in (3, 17, 8, 1, 30, 8, 2)]


def collator(rows: list[list[int]], *, left: bool) -> Callable[[Any], dict[str, torch.Tensor]]:
    def collate(ids: Any) -> dict[str, torch.Tensor]:
        width = max(len(rows[i]) for i in ids)
        batch = {
            key: torch.zeros(len(ids), width, dtype=torch.long) for key in ("input_ids", "attention_mask")
        }
        batch["labels"] = torch.full((len(ids), width), -100)
        for place, index in enumerate(ids):
            size = len(rows[index])
            where = slice(width - size, width) if left else slice(size)
            batch["input_ids"][place, where] = batch["labels"][place, where] = torch.tensor(rows[index])
            batch["attention_mask"][place, where] = 1
            batch["labels"][place, where.start or 0] = -100
        return batch

    return collate


@pytest.mark.parametrize("left", [False, True], ids=["right-padded", "left-padded"])
@pytest.mark.parametrize("batch_tokens", [1, 40, 10_000])
def test_pool_losses_equal_one_row_at_a_time(
    model: Any, rows: list[list[int]], batch_tokens: int, left: bool
) -> None:
    lengths = np.array([len(row) for row in rows])
    measured = pool_losses(model, Rows(lengths, lengths - 1, collator(rows, left=left)), batch_tokens)
    for loss, row in zip(measured, rows, strict=True):
        ids = torch.tensor([row])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, :-1]
        alone = F.cross_entropy(logits, ids[0, 1:]).item() if len(row) > 1 else np.nan
        assert loss == pytest.approx(alone, rel=2e-6, nan_ok=True)


def test_sample_losses_match_torch_and_their_gradient() -> None:
    logits = torch.randn(3, 6, 11, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, 11, (3, 6))
    labels[0, :4] = labels[2, 1:] = -100
    sums, counts = sample_losses(logits, labels)
    expected = F.cross_entropy(logits[:, :-1].transpose(1, 2).float(), labels[:, 1:], reduction="none")
    assert counts.tolist() == [2, 5, 0]
    torch.testing.assert_close(sums, expected.sum(1))
    assert torch.autograd.grad(sums.sum(), logits)[0][2].abs().sum() == 0


def test_batches_hold_every_row_once_and_keep_to_the_budget() -> None:
    lengths = np.random.default_rng(1).integers(1, 50, 200)
    batches = token_batches(lengths, 120)
    assert sorted(row for batch in batches for row in batch) == list(range(200))
    assert all(len(batch) * max(lengths[batch]) <= 120 for batch in batches)


def test_untouched_restores_modes_and_random_states(model: Any) -> None:
    model.train()
    model.model.layers[0].eval()
    modes = [module.training for module in model.modules()]
    states = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())  # type: ignore[index, union-attr]
    with untouched(model):
        assert not any(module.training for module in model.modules())
        random.random(), np.random.random(), torch.rand(3)
    assert [module.training for module in model.modules()] == modes
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]  # type: ignore[index, union-attr]
    assert torch.equal(torch.get_rng_state(), states[2])


def test_measuring_leaves_the_training_bitwise_as_it_was(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A random selection with a measurement beside it, against the same without one; dropout is on."""
    from dataflex.selectors.random import RandomSelector

    keys = {
        "train_type": "dynamic_select",
        "component_name": "random",
        "warmup_step": 2,
        "update_step": 2,
        "update_times": 2,
        "num_train_epochs": 1,
        "finetuning_type": "lora",
        "lora_dropout": 0.3,
    }
    plain = run(**keys)
    select, measured = RandomSelector.select, []

    def measuring(self: Any, context: Any, n: int) -> Any:
        measured.append(context.signals.losses())
        return select(self, context, n)

    monkeypatch.setattr(RandomSelector, "select", measuring)
    watched = run(**keys)
    assert len(measured) == 2
    assert np.isfinite(measured[0]).all()
    assert watched.losses == plain.losses
    for name, weight in plain.weights.items():
        assert torch.equal(watched.weights[name], weight)


def test_a_component_may_measure_with_the_model_as_it_is(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses differ between updates, and fall on rows that were trained hard."""
    seen: list[np.ndarray] = []
    original = Measurements.losses

    def noting(self: Any) -> Any:
        found = original(self)
        if not any(found is earlier for earlier in seen):
            seen.append(found)
        return found

    monkeypatch.setattr(Measurements, "losses", noting)
    run(
        train_type="dynamic_select",
        component_name="loss",
        warmup_step=10,
        update_step=20,
        update_times=2,
        num_train_epochs=1,
        learning_rate=3e-3,
    )
    assert seen[1].mean() < seen[0].mean() - 0.1
