"""Token losses of a causal language model, and the losses of a whole pool of rows."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from dataflex.arrays import FloatArray
from dataflex.collectives import sum_over_ranks
from dataflex.signals.cross_entropy import cross_entropy
from dataflex.signals.passes import IGNORED, Batch, Rows, my_batches, refuse_gaps, token_batches


def token_losses(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss of every token and which of them count.

    Args:
        logits: shape ``(B, L, V)``; position ``j`` predicts label ``j + 1``. Computed in fp32.
        labels: shape ``(B, L)``; positions with ``IGNORED`` do not count. In a row that is padded on the
            left, the first token must be one of them: what comes before it is padding.

    Returns:
        Losses in nats, fp32, differentiable, shape ``(B, L)``, 0 where a position doesn't count; and whether
        it does, same shape. Position ``j`` is that of the prediction.
    """
    targets = next_labels(labels.to(logits.device))
    losses = cross_entropy(logits.flatten(0, 1), targets.flatten())
    return losses.view_as(targets), targets != IGNORED


def next_labels(labels: torch.Tensor) -> torch.Tensor:
    """Return the label that each position predicts, ``IGNORED`` at the last one; shape ``(B, L)`` both."""
    return F.pad(labels, (0, 1), value=IGNORED)[:, 1:]


def sample_losses(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return sum and number of the token losses of each sample; fp32, shape ``(B,)`` both."""
    losses, counted = token_losses(logits, labels)
    return losses.sum(1), counted.sum(1).to(losses.dtype)


def mean_losses(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Return the mean loss a supervised token of each row, shape ``(B,)``; 0 where a row has none.

    Labels are taken out of the batch, so that the model computes no loss of its own.
    """
    labels = batch.pop("labels")
    loss_sums, counts = sample_losses(model(**batch).logits, labels)
    return loss_sums / counts.clamp(min=1)


def sum_of_mean_losses(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Return the sum of ``mean_losses``: its gradient holds each row's own, one beside the other."""
    return mean_losses(model, batch).sum()


def pool_losses(model: nn.Module, rows: Rows, batch_tokens: int) -> FloatArray:
    """Return the mean token loss of every row of a pool, in one sharded pass without gradients.

    Args:
        model: in evaluation mode (see ``untouched``).
        rows: the pool.
        batch_tokens: padded tokens of a batch at the most.

    Returns:
        Mean loss in nats, shape ``(N,)``, equal on all ranks; NaN for a row without supervised token.
    """
    found = torch.zeros(2, len(rows.lengths), dtype=torch.float64)
    with torch.no_grad():
        for chosen, counts in my_batches(
            token_batches(rows.lengths, batch_tokens), "Measuring the pool's losses"
        ):
            losses = mean_losses(model, rows.batch(chosen))
            if counts:
                found[:, chosen] = torch.stack([losses, torch.ones_like(losses)]).double().cpu()
    losses, seen = sum_over_ranks(found).numpy()
    refuse_gaps(seen)
    return np.where(rows.supervised > 0, losses, np.nan)
