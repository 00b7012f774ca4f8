"""Losses that are no numbers any more: nothing that is decided or logged from them would mean anything."""

from __future__ import annotations

from collections.abc import Sequence

from dataflex.errors import UserError


def diverged(step: int, domains: Sequence[str], ranks: Sequence[int]) -> UserError:
    """Return the error of a training step whose losses are not all finite; it says where, and what to change.

    Args:
        step: of the optimizer, from 0.
        domains: those whose losses are not finite.
        ranks: the processes that met it.
    """
    return UserError(
        f"the loss at step {step} is not finite in domain {', '.join(domains)} (rank "
        f"{', '.join(map(str, ranks))}): training has diverged; lower learning_rate, set max_grad_norm, or "
        "use bf16 instead of fp16, then go on from the last checkpoint, which is from before"
    )
