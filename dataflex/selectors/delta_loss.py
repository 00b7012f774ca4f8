"""Delta loss: prefer rows whose loss has fallen, first by much and later by little.

DataFlex (arXiv 2603.26164), selector "delta_loss"; no earlier paper defines it. Rows are ordered by how much
their loss has fallen since the first update. A window slides over this order, from the largest fall to the
smallest, along a logistic curve in the number of updates.

Two things differ from the published code, where it silently selects at random: the window slides over the
rows whose loss has fallen, not over all rows, so that it is never empty; and where fewer rows have improved
than the window holds, the window holds the rows with the largest fall.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from dataflex.engine.component import Context, FloatArray, IntArray, Selector


class DeltaLossSelector(Selector):
    """Draw rows mostly from a window that slides over the rows ordered by their fall in loss."""

    needs = frozenset({"per_sample_loss"})
    least_updates = 2
    paper = "arXiv:2603.26164"

    window_size: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Share of the pool that the window holds."""
    steepness: Annotated[float, Field(gt=0)] = 10.0
    """Steepness of the logistic curve that the window slides along."""
    outside: Annotated[float, Field(ge=0, le=1)] = 0.025
    """Odds of a row outside of the window against one inside."""

    _first: FloatArray | None = None

    def select(self, context: Context, n: int) -> IntArray:
        """Return ``n`` ids, or all rows that have a loss when those are fewer.

        The first update after a warm-up measures what later ones are compared with, and draws at random.
        """
        losses = context.signals.losses()
        rng = context.rng("delta loss selector")
        turn = context.update % context.updates
        if turn == 0 or self._first is None:
            self._first = losses.copy()
            context.notes["baseline"] = True
            return rng.permutation(np.flatnonzero(np.isfinite(losses)))[:n]
        fall = self._first - losses
        context.notes["falls"] = fall
        valid = np.flatnonzero(np.isfinite(fall))
        order = valid[np.argsort(-fall[valid], kind="stable")]
        start, stop = self.window(int((fall[valid] > 0).sum()), len(valid), turn, context.updates)
        context.notes.update(window=[start, stop], improved=int((fall[valid] > 0).sum()))
        odds = np.full(len(order), self.outside)
        odds[start:stop] = 1.0
        # As in the loss selector: the largest of log odds + Gumbel noise are a draw without replacement.
        with np.errstate(divide="ignore"):
            keys = np.log(odds) + rng.gumbel(size=len(losses))[order]
        return order[np.argsort(-keys, kind="stable")[: min(n, int((odds > 0).sum()))]]

    def window(self, improved: int, rows: int, turn: int, updates: int) -> tuple[int, int]:
        """Return first and last (exclusive) place of the window in the order of falling gains.

        Args:
            improved: rows whose loss has fallen.
            rows: rows that have a loss.
            turn: updates since the baseline was measured, 1 or more.
            updates: updates of the whole cycle, 2 or more.
        """
        size = max(1, round(self.window_size * rows))
        passed = turn / (updates - 1)
        slid = 1 / (1 + np.exp(-self.steepness * (passed - 0.5)))
        start = int(slid * max(0, improved - size))
        return start, min(start + size, rows)

    def state_dict(self) -> dict[str, Any]:
        """Return the losses that later ones are compared with."""
        return {} if self._first is None else {"first": self._first}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        self._first = state.get("first")
