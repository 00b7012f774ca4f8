"""What a method of selection is."""

from __future__ import annotations

from abc import ABC, abstractmethod

from dataflex.arrays import IntArray
from dataflex.engine.base import Component
from dataflex.engine.context import Context


class Selector(Component, ABC):
    """Chooses the rows of the next phase."""

    kind = "select"

    def repeats_rows(self) -> bool:
        """Tell whether ``select`` may return a row more than once (then it may exceed the pool)."""
        return False

    @abstractmethod
    def select(self, context: Context, n: int) -> IntArray:
        """Return the ids of the rows to train on next.

        Args:
            context: the run at this step.
            n: rows of the phase.

        Returns:
            Up to ``n`` ids. Fewer are repeated, epoch after epoch, until the phase is full.
        """
