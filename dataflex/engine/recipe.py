"""What is trained on at present: which rows, in which proportions, and how much each domain counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from dataflex.arrays import FloatArray, IntArray
from dataflex.engine.facts import Facts


@dataclass(frozen=True)
class Recipe:
    """What selector and mixer have decided so far; a new decision makes a new one."""

    proportions: FloatArray
    """Shares of the loss tokens, shape ``(domains,)``; they matter when a mixer decides."""
    pool: IntArray | None = None
    """Selected row ids; None: all rows."""
    loss_weights: FloatArray | None = None
    """How much each domain counts in the loss; None: every token alike."""
    mass: Literal["token", "domain"] = "token"
    """See ``Mixture.mass``."""

    def rows(self, facts: Facts) -> IntArray | range:
        """Return the row ids of the pool."""
        return range(facts.total_rows) if self.pool is None else self.pool

    def rows_by_domain(self, facts: Facts) -> list[IntArray | range]:
        """Return the row ids of the pool, domain by domain."""
        if self.pool is None:
            ends = np.cumsum(facts.rows)
            return [range(int(end - rows), int(end)) for end, rows in zip(ends, facts.rows, strict=True)]
        domain = facts.domain_of(self.pool)
        return [self.pool[domain == index] for index in range(len(facts.domains))]
