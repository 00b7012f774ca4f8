"""What a component may measure with the model; ``measuring`` is where it is done."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from dataflex.arrays import FloatArray, IntArray
from dataflex.signals.embeddings import Embeddings, EmbeddingSource
from dataflex.signals.features import GradientFeatures, Targets
from dataflex.signals.rollouts import Rollouts, Sampling


class Signals(Protocol):
    """What a component may measure with the model as it is at a step.

    A measurement is made when it is first asked for and kept for the step, so that several decisions share
    one pass. All ranks must ask alike. Ask only for what the component declares in ``needs``.
    """

    def losses(self) -> FloatArray:
        """Return the mean loss in nats a supervised token of every row; NaN where a row has none.

        Shape ``(rows,)``, equal on all ranks. One batched pass over all rows, without gradients, sharded
        over the ranks.
        """
        ...

    def validation_targets(self, groups: IntArray, features: GradientFeatures) -> Targets:
        """Return the mean unit gradient of each group of validation rows.

        Args:
            groups: group of each validation row, from 0; shape ``(validation rows,)``.
            features: only its projection matters: validation gradients are never preconditioned.

        Raises:
            UserError: a group has no row with a finite gradient other than zero.
        """
        ...

    def policy_targets(
        self, rollouts: Rollouts, advantages: FloatArray, groups: IntArray, features: GradientFeatures
    ) -> Targets:
        """Return targets as ``validation_targets`` does, from policy gradients.

        The gradient of a validation row is that of the sum over its continuations of advantage times
        negative log-likelihood; rows of which it vanishes don't count.

        Args:
            rollouts: from ``rollouts``, at this step.
            advantages: shape ``(validation rows, continuations)``.
            groups: see ``validation_targets``.
            features: see ``validation_targets``.
        """
        ...

    def alignment(
        self, targets: Targets, features: GradientFeatures, rows: IntArray | None = None
    ) -> FloatArray:
        """Return the inner product of each row's unit gradient feature with each target.

        Shape ``(rows, groups)``, equal on all ranks; NaN where a row has no supervised token or its gradient
        is not finite, 0 where it vanishes. ``rows``: ids to measure; None measures all.
        """
        ...

    def group_alignment(
        self, targets: Targets, features: GradientFeatures, groups: Sequence[IntArray]
    ) -> FloatArray:
        """Return the inner product of each group's normalised mean unit feature with each target.

        Shape ``(len(groups), target groups)``; rows without a finite feature don't count, and a group
        without any other gets NaN. ``groups``: ids of the rows of each group.
        """
        ...

    def rollouts(self, sampling: Sampling, seed: int) -> Rollouts:
        """Sample continuations of every validation prompt from the present weights, equal on all ranks."""
        ...

    def embeddings(self, source: EmbeddingSource) -> Embeddings:
        """Return unit vectors of all rows and of the validation rows, equal on all ranks.

        They are computed once and kept beside the run, except those of the present model.
        """
        ...

    def validation_states(self, rows: IntArray) -> FloatArray:
        """Return one vector a validation row from the present model's last hidden states.

        They are pooled as ``Samples.states`` are. Shape ``(len(rows), H)``, equal on all ranks; one pass
        without gradients, sharded over the ranks.

        Args:
            rows: which of the validation rows.
        """
        ...

    def at_checkpoint(self, checkpoint: Path) -> AbstractContextManager[Signals]:
        """Put a checkpoint's trainable weights and optimizer state in place of the present ones for a block.

        Yields signals that measure there.

        Raises:
            UserError: the folder holds no checkpoint of this model.
        """
        ...
