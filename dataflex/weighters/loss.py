"""Reweighting by loss: Dynamic Loss-Based Sample Reweighting (Sow et al., ICLR 2025, arXiv 2502.06733).

Losses are mapped linearly to ``h`` in [-delta, delta], from there to a preference ``f``, and weights are
``softmax(f / r)`` over the samples of an optimizer step. The paper's finding is that samples of low loss
should count less ("linupper"). The authors take least and largest loss from the same step, which they never
accumulate; here they come from the step before unless ``bounds`` says otherwise, so that a weight needs no
other sample's loss and the gradient does not depend on how a step is split into micro-batches.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, PrivateAttr

from dataflex.engine.component import Context, FloatArray, Samples, Weighter


class LossWeighter(Weighter):
    """Weigh samples by where their loss lies between the least and the largest."""

    paper = "arXiv:2502.06733"

    strategy: Literal["linupper", "upper", "quadratic", "extremes", "kl_dro", "none"] = "linupper"
    """linupper: samples below the middle count less, all above it alike; upper and kl_dro: the higher the
    loss the more, kl_dro with twice the slope; quadratic: both ends count less; extremes: the middle counts
    less; none: all count the same."""
    delta: Annotated[float, Field(gt=0)] = 1.0
    """Half the width of the range that losses are mapped to."""
    r: Annotated[float, Field(gt=0)] = 1.0
    """Strength of the KL regulariser: larger is nearer to equal weights."""
    r_end: Annotated[float, Field(gt=0)] | None = None
    """Where ``r`` goes until the end of the run; none: it stays."""
    r_schedule: Literal["linear", "cosine"] = "linear"
    """How ``r`` goes there."""
    bounds: Literal["previous_step", "same_step"] = "previous_step"
    """Step whose least and largest loss are the ends of the range; beyond them a loss counts as the end.
    same_step costs a forward without gradients where gradients are accumulated."""
    max_weight: Annotated[float, Field(ge=1)] | None = None
    """Cap of a weight, as a multiple of the mean weight of the step; none: no cap. It costs what same_step
    costs."""
    _bounds: tuple[float, float] | None = PrivateAttr(default=None)

    def by_sample(self) -> bool:
        """Return whether the samples of a step need not be compared."""
        return self.bounds == "previous_step" and self.max_weight is None

    def weights(self, losses: FloatArray, context: Context) -> FloatArray:
        """Return weights of at most one, before a common scale; a sample without loss gets zero."""
        valid = np.isfinite(losses)
        weights = np.zeros(len(losses))
        bounds = _bounds(losses) if self.bounds == "same_step" else self._bounds
        weights[valid] = np.exp((self.preference(losses[valid], bounds) - self._most()) / self._r(context))
        return weights if self.max_weight is None else capped(weights, self.max_weight)

    def preference(self, losses: FloatArray, bounds: tuple[float, float] | None) -> FloatArray:
        """Return ``f`` of each loss, equal for all without bounds or between equal ones.

        Args:
            losses: finite, shape ``(samples,)``.
            bounds: least and largest loss.
        """
        if self.strategy == "none" or bounds is None or bounds[0] >= bounds[1]:
            return np.full(len(losses), self._most())
        least, largest = bounds
        h = self.delta * np.clip((2 * losses - largest - least) / (largest - least), -1, 1)
        if self.strategy == "linupper":
            return np.minimum(h + self.delta, self.delta)
        if self.strategy == "upper":
            return (h + self.delta) / 2
        if self.strategy == "kl_dro":
            return h
        return np.abs(h) if self.strategy == "extremes" else 1 - h**2 / self.delta**2

    def _most(self) -> float:
        """Return the largest preference that there can be."""
        return 1.0 if self.strategy == "quadratic" else self.delta

    def _r(self, context: Context) -> float:
        if self.r_end is None:
            return self.r
        done = min(context.update / max(context.updates - 1, 1), 1.0)
        if self.r_schedule == "cosine":
            done = (1 - np.cos(np.pi * done)) / 2
        return float(self.r + (self.r_end - self.r) * done)

    def observe(self, losses: FloatArray, samples: Samples, step: int) -> None:
        """Keep least and largest loss of a step for the next one."""
        self._bounds = _bounds(losses) or self._bounds

    def state_dict(self) -> dict[str, Any]:
        """Return the last step's least and largest loss."""
        return {"bounds": self._bounds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        self._bounds = tuple(state["bounds"]) if state["bounds"] else None


def _bounds(losses: FloatArray) -> tuple[float, float] | None:
    """Return least and largest of the finite losses."""
    finite = losses[np.isfinite(losses)]
    return (float(finite.min()), float(finite.max())) if len(finite) else None


def capped(weights: FloatArray, most: float) -> FloatArray:
    """Return weights none of which is more than ``most`` times their mean; the others keep their ratios.

    What the capped ones lose goes to the others in proportion, which may cap some of them in turn. Zeros stay
    zeros and don't count in the mean.

    Args:
        weights: non-negative, shape ``(n,)``.
        most: at least 1.
    """
    positive = weights[weights > 0]
    order = np.sort(positive)[::-1]
    count = len(order)
    if not count or order[0] <= most * order.mean():
        return weights
    # With the k largest at the cap c: c = most * (k c + rest) / count, so c = most * rest / (count - most k).
    rest = order.sum() - np.cumsum(order)
    left = count - most * np.arange(1, count + 1)
    caps = np.divide(most * rest, left, out=np.full(count, np.nan), where=left > 0)
    following = np.append(order[1:], 0.0)
    fits = np.flatnonzero(np.isfinite(caps) & (caps >= following) & (caps > 0))
    # At most * k == count only equal weights keep to the cap.
    return np.minimum(weights, caps[fits[0]]) if len(fits) else np.where(weights > 0, 1.0, 0.0)
