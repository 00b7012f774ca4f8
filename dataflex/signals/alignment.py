"""Mean directions of validation gradients, and how far the gradients of rows point along them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch


@dataclass(frozen=True)
class Projection:
    """A random projection of gradients to a lower dimension."""

    kind: Literal["sparse", "dense"]
    dimension: int
    seed: int


@dataclass(frozen=True)
class GradientFeatures:
    """What stands for a row: its gradient, or the step that Adam would take with it."""

    gradient: Literal["adam", "sgd"] = "adam"
    adam_eps_mode: Literal["outside", "inside"] = "outside"
    projection: Projection | None = None


@dataclass(frozen=True)
class Targets:
    """Mean unit gradients, one a group of validation rows."""

    directions: list[torch.Tensor]
    """One tensor a trainable parameter, shape ``(groups, elements)``; with a projection a single one."""
    counts: list[int]
    """Rows that each mean is over."""
    left_out: int
    """Rows whose gradient vanished or was not finite."""
