"""Mean hidden states of rows of tokens: embeddings by a language model, or by the model in training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from dataflex.collectives import sum_over_ranks
from dataflex.errors import UserError
from dataflex.signals.passes import Rows, my_batches, token_batches
from dataflex.signals.taps import token_mask

Vectors = npt.NDArray[np.float32]


def token_means(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean state of each row's tokens, fp32, shape ``(B, H)``.

    Args:
        states: shape ``(B, L, H)``.
        mask: which positions hold tokens, shape ``(B, L)``.
    """
    counted = mask.to(states.device, torch.float32)[:, :, None]
    return (states.float() * counted).sum(1) / counted.sum(1).clamp(min=1)


def hidden_state_vectors(
    model: nn.Module,
    rows: Rows,
    batch_tokens: int,
    what: str = "rows",
    pool: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = token_means,
) -> Vectors:
    """Return one vector a row from the last layer's hidden states, scaled to length one.

    One sharded pass without gradients and, where the model lets its decoder be called alone, without logits.

    Args:
        model: in evaluation mode (see ``untouched``).
        rows: the rows.
        batch_tokens: padded tokens of a batch at the most.
        what: named in the progress bar.
        pool: makes vectors of states and the mask of tokens; see ``token_means``.

    Returns:
        Shape ``(N, D)``, equal on all ranks.

    Raises:
        UserError: rows are packed with a mask of their own, so that tokens can't be told from padding.
    """
    means: torch.Tensor | None = None
    batches = token_batches(rows.lengths, batch_tokens)
    with torch.no_grad():
        for chosen, counts in my_batches(batches, f"Embedding {what}"):
            batch = rows.batch(chosen)
            batch.pop("labels", None)
            pooled = pool(_last_hidden(model, batch), token_mask(batch)).cpu()
            if means is None:
                means = torch.zeros(len(rows.lengths), pooled.shape[1])
            if counts:
                means[chosen] = pooled
    if means is None:
        raise UserError("there is no row to embed")
    return unit(sum_over_ranks(means).numpy(), what)


def decoder_of(model: nn.Module) -> nn.Module | None:
    """Return what is in front of the head that makes logits, within wrappers; None if it is not set apart."""
    inner: Any = _outer(model)[-1]
    if hasattr(inner, "get_base_model"):
        # The adapters sit inside the base model's layers.
        inner = inner.get_base_model()
    decoder = inner.get_decoder() if hasattr(inner, "get_decoder") else None
    return None if decoder is inner else decoder


def _last_hidden(model: nn.Module, batch: dict[str, Any]) -> torch.Tensor:
    """Return the last layer's states ``(B, L, D)``; the head that makes logits is left out if it can be."""
    decoder = decoder_of(model)
    wrapped = any(
        type(part).__name__.startswith(("FSDP", "FullyShardedDataParallel")) for part in _outer(model)
    )
    if decoder is not None and not wrapped:
        return decoder(**batch, use_cache=False).last_hidden_state
    outputs = model(**batch, output_hidden_states=True)
    return outputs.hidden_states[-1]


def _outer(model: nn.Module) -> list[Any]:
    """Return the model and what it is wrapped in."""
    layers: list[Any] = [model]
    while hasattr(layers[-1], "module"):
        layers.append(layers[-1].module)
    return layers


def unit(vectors: Vectors, what: str) -> Vectors:
    """Return the vectors scaled to length one.

    Raises:
        UserError: one of them is zero or not finite.
    """
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    wrong = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
    if len(wrong):
        raise UserError(
            f"{what}: {len(wrong)} vectors are zero or not finite, the first is that of row {wrong[0]}"
        )
    return (vectors / lengths[:, None]).astype(np.float32)
