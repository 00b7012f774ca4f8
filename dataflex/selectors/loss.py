"""Loss-based selection: prefer the rows whose present loss lies in one band of the pool's losses.

DataFlex (arXiv 2603.26164), selector "loss"; no earlier paper defines it. The pool is cut at two
quantiles into low, medium and high loss; the focused band's rows get ``focus_weight`` times the odds.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from dataflex.engine.component import Context, FloatArray, IntArray, Selector
from dataflex.errors import UserError

Share = Annotated[float, Field(ge=0, le=1)]


class LossSelector(Selector):
    """Draw rows with odds that depend on the tercile of their present loss."""

    needs = frozenset({"per_sample_loss"})
    paper = "arXiv:2603.26164"

    focus: Literal["low", "medium", "high"] = "medium"
    """The preferred band."""
    focus_weight: Annotated[float, Field(gt=0)] = 5.0
    """Odds of a row in the focused band against one outside."""
    quantiles: Annotated[list[Share], Field(min_length=2, max_length=2)] = [0.33, 0.66]
    """Where the pool is cut; a loss at a cut belongs to the lower band."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Odds are raised to the power of 1 / temperature."""
    replacement: bool = False
    """Draw with replacement."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.quantiles[0] >= self.quantiles[1]:
            raise ValueError("quantiles must rise, for example [0.33, 0.66]")
        return self

    def repeats_rows(self) -> bool:
        """With replacement, yes."""
        return self.replacement

    def select(self, context: Context, n: int) -> IntArray:
        """Return ``n`` ids, or all rows that have a loss when those are fewer."""
        losses = context.signals.losses()
        valid = np.flatnonzero(np.isfinite(losses))
        if not len(valid):
            raise UserError("no row has a finite loss: training has diverged, lower learning_rate")
        log_odds = self.log_odds(losses[valid])
        rng = context.rng("loss selector")
        if self.replacement:
            odds = np.exp(log_odds)
            return valid[rng.choice(len(valid), size=n, p=odds / odds.sum())]
        # The n largest of log odds + Gumbel noise are a draw without replacement, one row after the other
        # (Vieira 2014; Kool et al. 2019). One noise value a row of the pool keeps it independent of NaNs.
        noise = rng.gumbel(size=len(losses))[valid]
        return valid[np.argsort(-(log_odds + noise), kind="stable")[:n]]

    def log_odds(self, losses: FloatArray) -> FloatArray:
        """Return the logarithm of each row's odds; ``losses`` are finite, shape ``(rows,)``."""
        low, high = np.quantile(losses, self.quantiles)
        band = {"low": losses <= low, "medium": (losses > low) & (losses <= high), "high": losses > high}
        return np.where(band[self.focus], np.log(self.focus_weight) / self.temperature, 0.0)
