"""Listening to a model's forward: hooks that take something small out of it and keep nothing else.

A tap hears the forward that it is opened for and no other. The passes of selections and evaluations, and the
forward that gradient checkpointing repeats within the backward pass, go by unheard.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dataflex.errors import UserError
from dataflex.signals.passes import Batch


class Tap:
    """Base of the taps: whether one is open, and for which tokens."""

    def __init__(self) -> None:
        self._mask: torch.Tensor | None = None

    @contextmanager
    def listening(self, batch: Batch) -> Iterator[None]:
        """Hear the one forward of a batch that the block runs.

        Args:
            batch: the model's keyword arguments.

        Raises:
            UserError: see ``token_mask``.
        """
        self._mask = token_mask(batch)
        self._forget()
        try:
            yield
        finally:
            self._mask = None

    def _forget(self) -> None:
        """Drop what an earlier forward left."""


def token_mask(batch: Batch) -> torch.Tensor:
    """Return which positions of a batch hold tokens, not padding; bool, shape ``(B, L)``.

    Raises:
        UserError: rows are packed with a mask of their own, so that tokens can't be told from padding.
    """
    mask: torch.Tensor | None = batch.get("attention_mask")
    if mask is None:
        return torch.ones_like(batch["input_ids"], dtype=torch.bool)
    if mask.ndim != 2:
        raise UserError("neat_packing: true hides which tokens are padding: remove it")
    return mask.bool()
