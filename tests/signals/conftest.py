"""Tiny models of several kinds and rows of random tokens, batched with padding on either side."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Qwen2ForCausalLM

from dataflex.signals.passes import Rows

from ..models import dense

VOCABULARY = 61
LENGTHS = (3, 17, 8, 1, 12, 8, 2, 5)


def tiny_model(**changes: Any) -> Qwen2ForCausalLM:
    """A dense model with dropout, so that its mode shows."""
    return dense(**{"vocab_size": VOCABULARY, "attention_dropout": 0.3} | changes)


def make_rows(tokens: Sequence[Sequence[int]], *, left: bool = False, pad_to: int = 1) -> Rows:
    """The second half of each row is supervised; padding in front or behind."""

    def batch(ids: Sequence[int]) -> dict[str, torch.Tensor]:
        width = -(-max(len(tokens[i]) for i in ids) // pad_to) * pad_to
        made = {k: torch.zeros(len(ids), width, dtype=torch.long) for k in ("input_ids", "attention_mask")}
        made["labels"] = torch.full((len(ids), width), -100)
        for place, index in enumerate(ids):
            size = len(tokens[index])
            where = slice(width - size, width) if left else slice(size)
            made["input_ids"][place, where] = torch.tensor(tokens[index])
            made["attention_mask"][place, where] = 1
            made["labels"][place, where] = torch.tensor(
                [-100] * -(-size // 2) + list(tokens[index])[-(-size // 2) :]
            )
        return made

    lengths = np.array([len(row) for row in tokens])
    return Rows(lengths, lengths // 2, batch)


@pytest.fixture
def tokens() -> list[list[int]]:
    generator = np.random.default_rng(0)
    return [generator.integers(1, VOCABULARY, size=length).tolist() for length in LENGTHS]


@pytest.fixture
def gradient_alone() -> Callable[[torch.nn.Module, Rows, int], torch.Tensor]:
    """The gradient of one row's mean loss by autograd, over all trainable parameters, in one vector."""

    def gradient(model: torch.nn.Module, rows: Rows, row: int) -> torch.Tensor:
        parameters = [p for p in model.parameters() if p.requires_grad]
        batch = rows.batch([row])
        labels = batch.pop("labels")
        logits = model(**batch).logits[0, :-1]
        targets = labels[0, 1:]
        if (targets == -100).all():
            return torch.zeros(sum(p.numel() for p in parameters))
        loss = torch.nn.functional.cross_entropy(logits, targets)
        found = torch.autograd.grad(loss, parameters, allow_unused=True)
        return torch.cat(
            [
                (torch.zeros_like(p) if g is None else g).flatten()
                for g, p in zip(found, parameters, strict=True)
            ]
        )

    return gradient
