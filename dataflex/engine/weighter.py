"""What a method of weighting samples is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

from dataflex.arrays import FloatArray
from dataflex.engine.base import Component
from dataflex.engine.context import Context, Samples


class Weighter(Component, ABC):
    """Chooses how much each sample of an optimizer step counts.

    One that looks at each sample by itself (``by_sample``) costs no forward of its own under any
    accumulation. One that compares the samples of a step with each other needs all their losses first: with
    one micro-batch a step from the training forward itself, with several from a forward beforehand, without
    gradients and without dropout.
    """

    kind = "weight"
    needs = frozenset({"per_sample_loss"})

    mass: Literal["token", "sample"] = "token"
    """What a weight multiplies: a sample's tokens (equal weights give the stock loss) or its mean loss."""

    def by_sample(self) -> bool:
        """Tell whether a weight depends on nothing but its sample and what was known before the step.

        Then ``weights`` gets the samples of one micro-batch of one rank at a time, and their common scale is
        made one over the whole step by the trainer.
        """
        return False

    def relative(self) -> bool:
        """Tell whether weights matter up to a common scale only; else 1 is the weight of the stock loss."""
        return True

    def before_step(self, context: Context) -> None:
        """Measure what the next weights need; called on all ranks before the forward of a weighted step."""

    @abstractmethod
    def weights(self, losses: FloatArray, context: Context) -> FloatArray:
        """Return one non-negative weight a sample.

        Args:
            losses: mean loss a supervised token of every sample, shape ``(n,)``: of the step, over
                micro-batches and ranks, or of one micro-batch (see ``by_sample``); NaN where a sample has no
                supervised token.
            context: the run at this step; ``samples`` tells rows, domains and more.
        """

    def observe(self, losses: FloatArray, samples: Samples, step: int) -> None:
        """Take note of an optimizer step that was just trained, weighted or not.

        Called on every rank with the samples of all micro-batches and ranks, in their global order and
        without states.

        Args:
            losses: mean losses as in ``weights``, from the training forward: with dropout, where weights that
                needed a forward beforehand were made without.
            samples: of the step.
            step: that was trained.
        """
