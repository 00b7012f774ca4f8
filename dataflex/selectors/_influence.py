"""What selectors share that score rows by how far their gradients point along a validation set's.

The rule is LESS's (Xia et al. 2024, arXiv 2402.04333); methods differ in the direction that they aim at.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from dataflex.engine.component import Context, Facts, FloatArray, IntArray, Need, Selector
from dataflex.signals.features import GradientFeatures, Targets
from dataflex.signals.projection import Projection


class InfluenceSelector(Selector):
    """Take the rows whose gradient features have the largest mean cosine with a validation subtask."""

    needs = frozenset({"validation_set", "per_sample_gradient"})

    gradient_type: Literal["adam", "sgd"] = "adam"
    """Feature of a pool row: the step that Adam would take with its gradient, or the gradient itself."""
    adam_eps_mode: Literal["outside", "inside"] = "outside"
    """Where Adam's eps stands: beside the root (paper, Adam itself) or under it (LESS's published code)."""
    validation_subtask: str | None = None
    """Column of the validation set that names a row's subtask, or `dataset`; a row's score is the best of the
    subtasks. None: one subtask."""
    backend: Literal["exact", "projected"] = "exact"
    """exact: inner products of whole gradients; projected: of random projections, which can be stored."""
    proj_dim: Annotated[int, Field(ge=1)] = 8192
    """Dimensions of the projected back end."""
    projection: Literal["sparse", "dense"] = "sparse"
    """Kind of the projection; dense is LESS's own and costs proj_dim times as much."""
    keep_gradients: bool = False
    """Keep the projected gradients of the pool under `gradients/` in the run directory."""
    top: Annotated[float, Field(gt=0)] | None = None
    """Draw the phase's rows from the best so many rows (1 or more) or the best share of the pool (below 1);
    none takes the best rows of the pool, as many as the phase has."""

    def requirements(self) -> frozenset[Need]:
        """Return what is to be measured; Adam's moments only for Adam's steps."""
        return self.needs | ({"adam_moments"} if self.gradient_type == "adam" else set())

    def check(self, facts: Facts) -> None:
        """Refuse a subtask column that the validation set lacks."""
        if facts.validation is not None:
            facts.validation.groups(self.validation_subtask)

    def features(self, context: Context) -> GradientFeatures:
        """Return what stands for a row, and note it."""
        projection = None
        if self.backend == "projected":
            projection = Projection(self.projection, self.proj_dim, context.facts.seed)
        context.notes["features"] = {
            "gradient": self.gradient_type,
            "projection": vars(projection) if projection else None,
        }
        return GradientFeatures(self.gradient_type, self.adam_eps_mode, projection, self.keep_gradients)

    @abstractmethod
    def targets(self, context: Context, groups: IntArray, features: GradientFeatures) -> Targets:
        """Return the directions to aim at, one a subtask. ``groups``: subtask of each validation row."""

    def select(self, context: Context, n: int) -> IntArray:
        """Return the ``n`` best rows, or fewer when fewer have a finite score; ties go to the lower id."""
        return self.pick(self.scores(context), context, n)

    def scores(self, context: Context) -> FloatArray:
        """Return each row's alignment with every subtask, shape ``(rows, subtasks)``."""
        features = self.features(context)
        targets = self.targets(context, self.groups(context), features)
        self.note_targets(context, targets)
        return context.signals.alignment(targets, features)

    def groups(self, context: Context) -> IntArray:
        """Return the subtask of each validation row."""
        assert context.facts.validation is not None
        return context.facts.validation.groups(self.validation_subtask)

    def note_targets(self, context: Context, targets: Targets) -> None:
        """Note how many validation rows count."""
        context.notes.update(validation_rows=sum(targets.counts), validation_left_out=targets.left_out)

    def order(self, scores: FloatArray) -> IntArray:
        """Return rows best first; ties go to the lower id."""
        return np.argsort(-scores, kind="stable")

    def pick(self, by_subtask: FloatArray, context: Context, n: int) -> IntArray:
        """Choose rows by their best subtask; a row without a finite score is never chosen."""
        scores = by_subtask.max(axis=1)
        context.notes["scores"] = scores
        best = self.order(np.where(np.isfinite(scores), scores, -np.inf))
        best = best[: int(np.isfinite(scores).sum())]
        if self.top is None:
            return best[:n]
        candidates = best[: max(1, round(self.top * len(scores) if self.top < 1 else self.top))]
        if len(candidates) <= n:
            return candidates
        return context.rng("rows of the top").choice(candidates, n, replace=False)
