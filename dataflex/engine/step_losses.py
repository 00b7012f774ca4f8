"""What was seen of an optimizer step by the time it ends."""

from __future__ import annotations

from dataclasses import dataclass

from dataflex.arrays import FloatArray, IntArray


@dataclass(frozen=True)
class StepLosses:
    """What the training forward of one optimizer step showed, over all its micro-batches and ranks."""

    loss_sums: FloatArray
    """Sum of the token losses of each domain, in nats; shape ``(domains,)``, as all that follow."""
    loss_tokens: IntArray
    """Supervised tokens of each domain."""
    samples: IntArray
    """Rows of each domain."""
    proportions: FloatArray
    """Shares of the loss tokens that the step was drawn with."""
    excess: FloatArray | None = None
    """Sum over each domain's tokens of the excess loss, that over the reference model's, and of its positive
    part; shape ``(domains, 2)``, None unless ``reference_model`` is needed."""
    router_counts: FloatArray | None = None
    """Tokens of each domain that each expert got, shape ``(domains, layers, experts)``; None unless
    ``router_counts`` is needed."""
