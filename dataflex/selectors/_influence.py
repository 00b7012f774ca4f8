"""Selection by influence: rows whose gradient points where the validation set wants the model to go."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from dataflex.engine.component import Context, FloatArray, IntArray, Selector
from dataflex.errors import UserError
from dataflex.signals.alignment import GradientFeatures, Projection, Targets


class InfluenceSelector(Selector):
    """Take the rows whose gradient feature is best aligned with one of the targets."""

    gradient_type: Literal["adam", "sgd"] = "adam"
    """What stands for a row: the step that Adam would take with it, or its plain gradient."""
    adam_eps_mode: Literal["outside", "inside"] = "outside"
    """Where Adam's epsilon stands: outside of the root as in Adam, or inside as in the authors' code."""
    backend: Literal["exact", "projected"] = "exact"
    """Inner products of whole gradients, or of random projections."""
    proj_dim: Annotated[int, Field(ge=1)] = 8192
    """Dimension of the projection."""
    validation_subtask: str | None = None
    """Column of the validation set that names a row's subtask; none takes all rows as one task."""

    @abstractmethod
    def targets(self, context: Context, groups: IntArray) -> Targets:
        """Return the direction that each group of validation rows asks for."""

    def features(self, context: Context) -> GradientFeatures:
        """Return what stands for a row."""
        projection = None
        if self.backend == "projected":
            seed = context.facts.seed if self.seed is None else self.seed
            projection = Projection("sparse", self.proj_dim, seed)
        return GradientFeatures(self.gradient_type, self.adam_eps_mode, projection)

    def groups(self, context: Context) -> IntArray:
        """Return the group of each validation row.

        Raises:
            UserError: there is no validation set, or no such column.
        """
        if context.facts.validation is None:
            raise UserError("this method selects for a validation set: set eval_dataset")
        return context.facts.validation.groups(self.validation_subtask)

    def select(self, context: Context, n: int) -> IntArray:
        """Return the ``n`` rows of highest score, or all that have one; earlier rows first among equals."""
        targets = self.targets(context, self.groups(context))
        scores = context.signals.alignment(targets, self.features(context)).max(axis=1)
        return self.pick(context, scores, n)

    def pick(self, context: Context, scores: FloatArray, n: int) -> IntArray:
        """Return the ids of the ``n`` highest finite scores."""
        order = np.argsort(-scores, kind="stable")
        return order[np.isfinite(scores[order])][:n]
