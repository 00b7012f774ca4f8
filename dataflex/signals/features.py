"""What stands for a row in gradient space, and what rows are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from dataflex.signals.projection import Projection


@dataclass(frozen=True)
class GradientFeatures:
    """What stands for a row: its gradient, or the step that Adam would take with it."""

    gradient: Literal["adam", "sgd"] = "adam"
    adam_eps_mode: Literal["outside", "inside"] = "outside"
    projection: Projection | None = None
    """None: exact."""
    store: bool = False
    """Whether the projected features of the pool are kept on disk."""


@dataclass(frozen=True)
class Targets:
    """Mean unit gradients, one a group of validation rows, equal on all ranks."""

    directions: list[torch.Tensor]
    """One tensor a trainable parameter, shape ``(groups, elements)``; with a projection a single one."""
    counts: list[int]
    """Rows that each mean is over."""
    left_out: int
    """Rows whose gradient vanished or was not finite."""
