"""Losses that are no numbers any more: nothing that is decided or logged from them would mean anything."""

from __future__ import annotations

import numpy as np

from dataflex.arrays import FloatArray
from dataflex.errors import UserError


def refuse_diverged(losses: FloatArray, step: int) -> None:
    """Refuse losses of a training step, of any shape, unless all of them are finite.

    Raises:
        UserError: says what to change.
    """
    if not np.isfinite(losses).all():
        raise UserError(
            f"the loss is not finite at step {step}: training has diverged; lower learning_rate, or say bf16 "
            "instead of fp16"
        )
