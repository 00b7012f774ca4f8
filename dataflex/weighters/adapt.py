"""ADAPT: weights by how near a sample is to the validation rows (Zhao et al., ICLR 2026, arXiv 2605.05227).

A sample's score is its mean cosine with anchors, which are validation rows seen by the present model; its
weight is ``sigmoid(score / tau)``. Both sides are last hidden states of the model in training, a sample's
from the very forward that trains it (``signals.states``). A mean of cosines is one inner product with the
anchors' mean, so that only the mean is kept.

The authors' code was not to be had: pooling, weight and their constants are those of DataFlex's version,
which names the paper. Two things differ from it. It adds up a micro-batch's weighted losses, where weights
here multiply the mean, whatever the batch; and it makes the anchors anew in every micro-batch of a step that
refreshes them, here once before it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from dataflex.engine.component import Context, Facts, FloatArray, IntArray, Weighter
from dataflex.errors import UserError


class AdaptWeighter(Weighter):
    """Weigh samples by their likeness to validation rows, as the model sees both."""

    needs = frozenset({"per_sample_loss", "hidden_states", "validation_set"})
    paper = "arXiv:2605.05227"

    tau: Annotated[float, Field(gt=0)] = 1.0
    """Temperature: smaller sets samples further apart."""
    refresh_interval: Annotated[int, Field(ge=1)] = 50
    """Optimizer steps after which the anchors are measured again."""
    anchors: Annotated[int, Field(ge=1)] | None = None
    """Validation rows that serve as anchors, drawn once by the seed; none takes all."""
    normalize: Literal["absolute", "mean1"] = "absolute"
    """absolute: weights scale the learning rate; mean1: they are one in the mean of a step."""
    centre: bool = False
    """Take the mean cosine between two anchors away from the scores. Last hidden states all point nearly one
    way: without it nearly equal cosines give nearly equal weights."""
    min_weight: Annotated[float, Field(ge=0)] | None = None
    """No weight is less, before they are made one in the mean."""
    max_weight: Annotated[float, Field(gt=0)] | None = None
    """No weight is more."""

    _mean: FloatArray | None = PrivateAttr(None)
    """Of the anchors' unit vectors, shape ``(H,)``."""
    _measured_at: int = PrivateAttr(0)

    @model_validator(mode="after")
    def _bounds_in_order(self) -> AdaptWeighter:
        if self.max_weight is not None and (self.min_weight or 0.0) > self.max_weight:
            raise ValueError(f"min_weight {self.min_weight} is more than max_weight {self.max_weight}")
        return self

    def check(self, facts: Facts) -> None:
        """Refuse more anchors than there are validation rows."""
        if facts.validation is not None and (self.anchors or 0) > facts.validation.rows:
            raise UserError(
                f"anchors: {self.anchors} are more than the {facts.validation.rows} validation rows: "
                "remove it to take all"
            )

    def by_sample(self) -> bool:
        """Tell that a weight depends on its sample and the anchors alone."""
        return True

    def relative(self) -> bool:
        """Tell whether weights are made one in the mean."""
        return self.normalize == "mean1"

    def before_step(self, context: Context) -> None:
        """Measure the anchors if an interval has gone by."""
        if self._mean is None or context.step - self._measured_at >= self.refresh_interval:
            self._mean = context.signals.validation_states(self.anchor_rows(context)).mean(axis=0)
            self._measured_at = context.step

    def anchor_rows(self, context: Context) -> IntArray:
        """Return the validation rows that serve as anchors: the same at every step."""
        assert context.facts.validation is not None
        rows = context.facts.validation.rows
        if self.anchors is None:
            return np.arange(rows)
        drawn = replace(context, step=0).rng("adapt anchors").choice(rows, self.anchors, replace=False)
        return np.sort(drawn)

    def weights(self, losses: FloatArray, context: Context) -> FloatArray:
        """Return ``sigmoid(score / tau)`` within the bounds."""
        assert context.samples is not None
        assert context.samples.states is not None
        assert self._mean is not None
        scores = context.samples.states @ self._mean
        if self.centre:
            scores = scores - self._likeness_of_anchors(len(self.anchor_rows(context)))
        # The logistic function, without an overflow.
        weights = 0.5 + 0.5 * np.tanh(0.5 * scores / self.tau)
        most = np.inf if self.max_weight is None else self.max_weight
        return np.clip(weights, self.min_weight or 0.0, most)

    def _likeness_of_anchors(self, count: int) -> float:
        """Return the mean cosine between two different anchors; 1 if there is one only."""
        assert self._mean is not None
        with_themselves = float(self._mean @ self._mean)
        return (count * with_themselves - 1) / (count - 1) if count > 1 else 1.0

    def state_dict(self) -> dict[str, Any]:
        """Return the anchors' mean and when it was measured."""
        return {} if self._mean is None else {"mean": self._mean, "measured_at": self._measured_at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the anchors' mean."""
        self._mean, self._measured_at = state.get("mean"), state.get("measured_at", 0)
