"""Token losses of a causal language model, and the losses of a whole pool of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from rich.progress import track
from torch import nn

from dataflex.collectives import sum_over_ranks, world

IGNORED = -100
"""Label of a position that is not supervised."""


def token_losses(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return sum and number of the token losses of each sample.

    Args:
        logits: shape ``(B, L, V)``; position ``j`` predicts label ``j + 1``. Computed in fp32.
        labels: shape ``(B, L)``; positions with ``IGNORED`` do not count. In a row that is padded on the
            left, the first token must be one of them: what comes before it is padding.

    Returns:
        Sums in nats, fp32, differentiable, shape ``(B,)``; counts, same type and shape.
    """
    labels = labels.to(logits.device)
    targets = F.pad(labels, (0, 1), value=IGNORED)[:, 1:]
    losses = F.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return losses.view_as(targets).sum(1), (targets != IGNORED).sum(1).to(losses.dtype)


def pool_losses(
    model: nn.Module,
    lengths: npt.NDArray[np.int64],
    collate: Callable[[Sequence[int]], dict[str, Any]],
    prepare: Callable[[dict[str, Any]], dict[str, Any]],
    batch_tokens: int,
) -> npt.NDArray[np.float64]:
    """Return the mean token loss of every row of a pool, in one sharded pass without gradients.

    Rows are grouped by length, so that a batch holds little padding, and dealt to the ranks in turn. All
    ranks run the same number of batches, because a sharded model's forward is a collective operation.

    Args:
        model: in evaluation mode (see ``untouched``).
        lengths: tokens of each row, shape ``(N,)``.
        collate: makes a batch of row ids.
        prepare: moves a batch to the model's device.
        batch_tokens: padded tokens of a batch at the most.

    Returns:
        Mean loss in nats, shape ``(N,)``, equal on all ranks; NaN for a row without supervised token.
    """
    rank, size = world()
    batches = token_batches(lengths, batch_tokens)
    rounds = -(-len(batches) // size)
    sums = torch.zeros(3, len(lengths), dtype=torch.float64)
    turns = track(range(rounds), "Measuring the pool's losses", disable=rank != 0, transient=True)
    with torch.no_grad():
        for turn in turns:
            mine = turn * size + rank
            rows = batches[min(mine, len(batches) - 1)]
            batch = prepare(collate(rows))
            labels = batch.pop("labels")
            loss_sums, counts = token_losses(model(**batch).logits, labels)
            if mine < len(batches):
                sums[:, rows] = torch.stack([loss_sums, counts, torch.ones_like(counts)]).double().cpu()
    loss_sum, tokens, seen = sum_over_ranks(sums).numpy()
    if not (seen == 1).all():
        raise RuntimeError(f"{int((seen != 1).sum())} rows were not measured exactly once")
    return np.divide(loss_sum, tokens, out=np.full(len(lengths), np.nan), where=tokens > 0)


def token_batches(lengths: npt.NDArray[np.int64], batch_tokens: int) -> list[list[int]]:
    """Group rows of similar length into batches of at most ``batch_tokens`` padded tokens, longest first.

    A row that is longer than that makes a batch of its own.
    """
    batches: list[list[int]] = []
    for row in np.argsort(-lengths, kind="stable").tolist():
        if not batches or (len(batches[-1]) + 1) * int(lengths[batches[-1][0]]) > batch_tokens:
            batches.append([])
        batches[-1].append(row)
    return batches
