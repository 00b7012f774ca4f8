"""Uniformly random rows: the baseline every selector has to beat."""

from __future__ import annotations

import numpy as np

from dataflex.engine.component import Context, IntArray, Selector


class RandomSelector(Selector):
    """Draw rows uniformly, anew at every update and reproducibly from the run's seed."""

    replacement: bool = False
    """Draw with replacement: a row may come more than once in a phase."""

    def repeats_rows(self) -> bool:
        """With replacement, yes."""
        return self.replacement

    def select(self, context: Context, n: int) -> IntArray:
        """Return ``n`` ids."""
        rng = context.rng("random selector")
        return rng.choice(context.facts.total_rows, size=n, replace=self.replacement).astype(np.int64)
