"""What a method of mixing domains is, and what it says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from dataflex.arrays import FloatArray
from dataflex.engine.base import Component
from dataflex.engine.context import Context
from dataflex.engine.step_losses import StepLosses


@dataclass(frozen=True)
class Mixture:
    """A mixer's decision."""

    proportions: FloatArray
    """Share of the loss tokens to draw from each domain."""
    loss_weights: FloatArray | None = None
    """How much each domain counts in the loss, up to a common scale; None: every token alike."""
    mass: Literal["token", "domain"] = "token"
    """What a loss weight multiplies: a domain's tokens or its mean loss in the step."""


class Mixer(Component, ABC):
    """Chooses from which domains the next samples come."""

    kind = "mix"

    def moves_rows(self) -> bool:
        """Tell whether updates change the proportions; if only loss weights change, rows are read ahead."""
        return True

    def observe(self, losses: StepLosses, step: int) -> None:
        """Take note of an optimizer step that was just trained. Called on every rank with equal values."""

    @abstractmethod
    def update(self, context: Context) -> Mixture:
        """Return the mixture from this step on."""

    def learned(self) -> FloatArray | None:
        """Return the proportions that a finished run offers to later ones (``proportions_from``).

        None, for most methods: the run was for its own model.
        """
        return None
