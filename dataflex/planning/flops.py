"""Floating-point operations of passes over a model, by the usual count: two a weight and token.

Matrix products alone are counted, attention with every key of the row (the count that utilisation is
usually reported with, though causal kernels skip half). Norms, softmax and the optimizer are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from dataflex.planning.architecture import Architecture


@dataclass(frozen=True)
class Trained:
    """What of a model is trained, and whether activations are computed a second time."""

    adapters: int | None
    """Parameters of LoRA adapters; None: the whole model is trained."""
    checkpointing: bool


def forward(
    model: Architecture, tokens: float, length: float, *, logits: bool = True, adapters: int = 0
) -> float:
    """Return the operations of a forward pass.

    Args:
        model: what the tokens go through.
        tokens: in all rows, padding included.
        length: of a row; decides about attention.
        logits: whether the output layer is computed.
        adapters: parameters of LoRA beside the weights.
    """
    weights = model.block_weights + adapters + (model.head_weights if logits else 0)
    return tokens * (2.0 * weights + _attention(model, length))


def training(model: Architecture, tokens: float, length: float, trained: Trained) -> float:
    """Return the operations of a forward and backward pass over ``tokens``; see ``forward``.

    Backward costs twice the forward; with adapters the weights' own gradients are not computed, and costs
    once. With gradient checkpointing the blocks are gone through forward a second time.
    """
    extra = trained.adapters or 0
    once = forward(model, tokens, length, adapters=extra)
    frozen = model.block_weights + model.head_weights if trained.adapters is not None else 0
    backward = 2 * once - tokens * 2.0 * frozen
    again = forward(model, tokens, length, logits=False, adapters=extra) if trained.checkpointing else 0.0
    return once + backward + again


def _attention(model: Architecture, length: float) -> float:
    """Operations of a token: products with the keys of its row, and of the weights with the values."""
    return 4.0 * length * model.attention_width * model.num_hidden_layers
