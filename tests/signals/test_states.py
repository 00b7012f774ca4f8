"""Vectors out of the training forward: those that a second forward would give, and of no other forward."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from peft import LoraConfig, get_peft_model

from dataflex.errors import UserError
from dataflex.signals.losses import sum_of_mean_losses
from dataflex.signals.pooling import hidden_state_vectors
from dataflex.signals.states import StateTap, rising_means
from dataflex.signals.untouched import untouched

from .conftest import LENGTHS, make_rows, tiny_model

EVERY = list(range(len(LENGTHS)))


def by_hand(states: torch.Tensor, mask: torch.Tensor) -> np.ndarray:
    found = []
    for row, own in zip(states.double().numpy(), mask.bool().numpy(), strict=True):
        kept = row[own]
        mean = sum((position + 1) * state for position, state in enumerate(kept))
        found.append(mean / np.linalg.norm(mean))
    return np.stack(found)


def second_forward(model: Any, batch: dict[str, torch.Tensor]) -> np.ndarray:
    with untouched(model), torch.no_grad():
        states = model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], output_hidden_states=True
        ).hidden_states[-1]
    return by_hand(states, batch["attention_mask"])


def test_positions_weigh_and_padding_does_not() -> None:
    states = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]], [[5.0, 5.0], [1.0, 0.0], [0.0, 1.0]]])
    mask = torch.tensor([[1, 1, 0], [0, 1, 1]])
    expected = np.array([1, 2]) / np.sqrt(5)
    assert rising_means(states, mask).numpy() == pytest.approx(np.stack([expected, expected]))
    states[0, 2] = torch.nan
    assert rising_means(states, mask)[0].numpy() == pytest.approx(expected)
    assert rising_means(states[:1], mask[:1] * 0).tolist() == [[0.0, 0.0]]


def test_long_rows_of_bf16_states_are_pooled_in_fp32() -> None:
    torch.manual_seed(0)
    states, mask = torch.randn(2, 900, 16).bfloat16(), torch.ones(2, 900, dtype=torch.long)
    with torch.autocast("cpu", torch.bfloat16):
        found = rising_means(states, mask)
    assert found.dtype == torch.float32
    assert found.numpy() == pytest.approx(by_hand(states, mask), abs=1e-6)


@pytest.fixture(params=["plain", "lora", "checkpointing", "lora-checkpointing", "ddp"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A model in training mode, without dropout so that its forward can be repeated."""
    made: Any = tiny_model(attention_dropout=0.0)
    if "lora" in request.param:
        made = get_peft_model(made, LoraConfig(r=2, target_modules=["q_proj", "down_proj"], lora_dropout=0.0))
        for name, parameter in made.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    if "checkpointing" in request.param:
        made.enable_input_require_grads()
        made.gradient_checkpointing_enable({"use_reentrant": "lora" in request.param})
    made.train()
    if request.param != "ddp":
        yield made
        return
    store = dist.FileStore(str(tmp_path / "store"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield made
    dist.destroy_process_group()


@pytest.mark.parametrize("left", [False, True], ids=["right-padded", "left-padded"])
def test_the_training_forward_shows_what_a_second_one_would(
    model: Any, tokens: list[list[int]], left: bool
) -> None:
    rows = make_rows(tokens, left=left)
    tap = StateTap(model)
    batch = rows.batch(EVERY)
    expected = second_forward(model, batch)
    wrapped = torch.nn.parallel.DistributedDataParallel(model) if dist.is_initialized() else model
    with tap.listening(batch):
        loss = sum_of_mean_losses(wrapped, dict(batch))
    found = tap.take()
    assert not found.requires_grad
    assert found.numpy() == pytest.approx(expected, abs=2e-6)
    # Gradient checkpointing runs layers again here.
    loss.backward()
    with pytest.raises(RuntimeError, match="no forward was heard"):
        tap.take()
    with untouched(model):
        alone = hidden_state_vectors(model, make_rows(tokens, left=not left), 40, "rows", rising_means)
    assert alone == pytest.approx(expected, abs=1e-5)


def test_only_the_forward_that_is_listened_to_is_heard(tokens: list[list[int]]) -> None:
    model = tiny_model()
    tap, rows = StateTap(model), make_rows(tokens)
    with torch.no_grad():
        with tap.listening(rows.batch([1])):
            model(**rows.batch([1]))
        model(**rows.batch([2, 3]))
        assert tap.take().shape == (1, 16)
        model(**rows.batch([2, 3]))
    with pytest.raises(RuntimeError, match="no forward was heard"):
        tap.take()
    with pytest.raises(ValueError, match="broken"), tap.listening(rows.batch([1])):
        raise ValueError("broken")
    model(**rows.batch([1]))
    with pytest.raises(RuntimeError, match="no forward was heard"):
        tap.take()


def test_listening_changes_no_gradient(
    tokens: list[list[int]], gradient_alone: Callable[..., torch.Tensor]
) -> None:
    model, rows = tiny_model(attention_dropout=0.0), make_rows(tokens)
    before = gradient_alone(model, rows, 1)
    tap = StateTap(model)
    with tap.listening(rows.batch([1])):
        assert torch.equal(gradient_alone(model, rows, 1), before)
    assert tap.take().isfinite().all()


def test_what_cannot_be_heard_is_refused() -> None:
    model = tiny_model()
    packed = {"input_ids": torch.ones(1, 4, dtype=torch.long), "attention_mask": torch.ones(1, 1, 4, 4)}
    with pytest.raises(UserError, match="neat_packing"), StateTap(model).listening(packed):
        pass
    with pytest.raises(UserError, match="Qwen2Model does not let its last hidden states be read"):
        StateTap(model.model)
