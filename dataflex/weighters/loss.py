"""Reweighting by loss: Dynamic Loss-Based Sample Reweighting (Sow et al., ICLR 2025, arXiv 2502.06733).

The losses of an optimizer step are mapped linearly to ``h`` in [-delta, delta] and from there to a
preference ``f``; weights are ``softmax(f / r)``. The paper's finding is that samples of low loss should
count less ("linupper").
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from dataflex.engine.component import Context, FloatArray, Weighter


class LossWeighter(Weighter):
    """Weigh samples by where their loss lies between the least and the largest of the step."""

    paper = "arXiv:2502.06733"

    strategy: Literal["linupper", "quadratic", "extremes", "none"] = "linupper"
    """linupper: low losses count less; quadratic: both ends count less; extremes: the middle counts less;
    none: all count the same."""
    delta: Annotated[float, Field(gt=0)] = 1.0
    """Half the width of the range that losses are mapped to."""
    r: Annotated[float, Field(gt=0)] = 1.0
    """Strength of the KL regulariser: larger is nearer to equal weights."""

    def weights(self, losses: FloatArray, context: Context) -> FloatArray:
        """Return weights that sum to one; a sample without loss gets zero."""
        valid = np.isfinite(losses)
        weights = np.zeros(len(losses))
        if valid.any():
            preference = self.preference(losses[valid])
            odds = np.exp((preference - preference.max()) / self.r)
            weights[valid] = odds / odds.sum()
        return weights

    def preference(self, losses: FloatArray) -> FloatArray:
        """Return ``f`` of each loss; ``losses`` are finite, shape ``(samples,)``."""
        least, largest = losses.min(), losses.max()
        if self.strategy == "none" or least == largest:
            return np.zeros(len(losses))
        h = self.delta * (2 * losses - largest - least) / (largest - least)
        if self.strategy == "linupper":
            return np.minimum(h + self.delta, self.delta)
        return np.abs(h) if self.strategy == "extremes" else 1 - h**2 / self.delta**2
