"""One vector a sample out of the last hidden states, from the very forward that trains.

The mean over a row's tokens has weights that rise with the position: a causal model's late states have seen
most of the row (Muennighoff 2022, arXiv 2202.08904). Positions count tokens, so that padding on either side
changes nothing, and are summed in fp32, because bf16 can't tell 257 from 256.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from typing_extensions import override

from dataflex.errors import UserError
from dataflex.signals.pooling import decoder_of
from dataflex.signals.taps import Tap


def rising_means(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean state of each row, a token's weight being its position, scaled to length one.

    Args:
        states: shape ``(B, L, H)``, any floating type.
        mask: which positions hold tokens, shape ``(B, L)``.

    Returns:
        fp32, without gradient, shape ``(B, H)``; zero for a row without tokens.
    """
    mask = mask.to(states.device).bool()
    weights = (mask.cumsum(1) * mask).float()
    # Row by row, and not as a product of matrices: no second copy of all states, and autocast leaves it fp32.
    sums = [
        (torch.where(own[:, None], row.float(), 0.0) * weight[:, None]).sum(0)
        for row, own, weight in zip(states.detach(), mask, weights, strict=True)
    ]
    return nn.functional.normalize(torch.stack(sums), dim=1)


class StateTap(Tap):
    """Takes ``rising_means`` of the last layer's states out of the forward that is listened to.

    Args:
        model: a causal language model, with or without adapters; what it is wrapped in later doesn't matter.

    Raises:
        UserError: the model has no decoder of its own in front of the layer that makes logits.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        decoder = decoder_of(model)
        if decoder is None:
            raise UserError(f"{type(model).__name__} does not let its last hidden states be read")
        self._means: torch.Tensor | None = None
        decoder.register_forward_hook(self._hear)

    def _hear(self, decoder: nn.Module, inputs: Any, output: Any) -> None:
        if self._mask is not None:
            states = output.last_hidden_state if hasattr(output, "last_hidden_state") else output[0]
            self._means = rising_means(states, self._mask)

    @override
    def _forget(self) -> None:
        self._means = None

    def take(self) -> torch.Tensor:
        """Return the vectors of the forward that was heard last, shape ``(B, H)``, and forget them."""
        if self._means is None:
            raise RuntimeError("no forward was heard")
        means, self._means = self._means, None
        return means
