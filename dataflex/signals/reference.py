"""Token losses of a reference model that is not trained: from a forward beside each, or from a cache."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import nn

from dataflex.signals.losses import token_losses
from dataflex.signals.passes import Batch, Rows
from dataflex.signals.reference_cache import CachedLosses, cached_losses


@dataclass(frozen=True)
class ReferenceSource:
    """Which model a component compares losses with, and how its losses are had."""

    model: str
    """Its folder."""
    losses: Literal["cached", "live"] = "cached"
    cache: str | None = None
    """Folder of the cached losses; None: beside the model."""


@dataclass(frozen=True)
class FrozenModel:
    """A model that can be loaded for measuring: in evaluation mode, its parameters without gradients."""

    source: ReferenceSource
    load: Callable[[], nn.Module]
    identity: Callable[[], str]
    """Makes a digest of its weights and of the precision it computes with."""


class Reference(Protocol):
    """Token losses of the reference model for the micro-batches of training."""

    def losses(self, rows: torch.Tensor, batch: Batch, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss of every token in nats, fp32, as ``signals.losses.token_losses`` does.

        Args:
            rows: row ids, shape ``(B,)``.
            batch: what the model in training gets.
            labels: shape ``(B, L)``.

        Returns:
            Shape ``(B, L)``, without gradient; 0 where a position doesn't count.
        """
        ...


class LiveReference:
    """One forward of the reference model for every micro-batch.

    Args:
        model: in evaluation mode, on the device of the batches.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def losses(self, rows: torch.Tensor, batch: Batch, labels: torch.Tensor) -> torch.Tensor:
        """See ``Reference.losses``."""
        with torch.no_grad():
            return token_losses(self._model(**batch).logits, labels)[0]


def make_reference(
    frozen: FrozenModel,
    rows: Rows,
    data: Any,
    batch_tokens: int,
    autocast: Callable[[], AbstractContextManager[Any]],
) -> LiveReference | CachedLosses:
    """Load the reference model, or open its cached losses; those that are missing are computed first.

    Args:
        frozen: the model.
        rows: all rows of the run.
        data: the dataset that they are made of.
        batch_tokens: padded tokens of a batch at the most.
        autocast: the run's mixed precision.

    Raises:
        UserError: on all ranks; the cache can't be written, or a loss is not finite.
    """
    source = frozen.source
    if source.losses == "live":
        return LiveReference(frozen.load())

    def measure(batch: Batch, labels: torch.Tensor, model: nn.Module) -> torch.Tensor:
        with torch.no_grad(), autocast():
            return token_losses(model(**batch).logits, labels)[0]

    folder = Path(source.cache) if source.cache else Path(source.model) / "reference_losses"
    return cached_losses(folder, frozen.identity(), frozen.load, measure, rows, data, batch_tokens)


def excess_losses(losses: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Return the sums of each sample's excess losses and of their positive parts, shape ``(B, 2)``.

    Args:
        losses: of the model in training, shape ``(B, L)``, 0 where a position doesn't count.
        reference: of the reference model, likewise.
    """
    excess = losses.detach() - reference
    return torch.stack([excess.sum(1), excess.clamp(min=0).sum(1)], 1)
