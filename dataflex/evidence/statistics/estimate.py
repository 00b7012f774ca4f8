"""An estimate with its standard error: intervals, tests and the smallest effect follow from the two."""

from __future__ import annotations

import math
from dataclasses import dataclass

LEVEL, POWER = 0.95, 0.8
Interval = tuple[float, float]


@dataclass(frozen=True)
class Estimate:
    """A number that was estimated, in its own unit.

    What follows from it is Student's, with ``freedom`` degrees; infinitely many give the normal distribution.

    Attributes:
        value: the estimate.
        error: its standard error; infinite where nothing is known of it, as with one seed.
        freedom: degrees of freedom of the error.
    """

    value: float
    error: float
    freedom: float = math.inf

    @property
    def known(self) -> bool:
        """Whether anything is known of the error."""
        return math.isfinite(self.error) and self.freedom > 0

    def interval(self, level: float = LEVEL) -> Interval | None:
        """The two-sided confidence interval; None where nothing is known of the error."""
        if not self.known:
            return None
        half = self._quantile(1 - (1 - level) / 2) * self.error
        return self.value - half, self.value + half

    def p_value(self, null: float = 0.0) -> float:
        """Two-sided p-value of the hypothesis that the truth is ``null``; 1 where the error is not known."""
        if not self.known:
            return 1.0
        if self.error == 0:
            return float(self.value == null)
        return min(1.0, 2 * self._tail(abs(self.value - null) / self.error))

    def equivalence(self, low: float, high: float) -> float:
        """P-value of two one-sided tests that the truth lies from ``low`` to ``high`` (Schuirmann 1987)."""
        if not self.known:
            return 1.0
        if self.error == 0:
            return float(not low < self.value < high)
        return max(self._tail((self.value - low) / self.error), self._tail((high - self.value) / self.error))

    def detectable(self, level: float = LEVEL, power: float = POWER) -> float | None:
        """The smallest effect that a two-sided test at 1 - ``level`` sees with probability ``power``.

        The quantiles of the test and of the power add up, times the error (Bloom 1995); None where nothing is
        known of the error.
        """
        if not self.known:
            return None
        return (self._quantile(1 - (1 - level) / 2) + self._quantile(power)) * self.error

    def _quantile(self, share: float) -> float:
        from scipy.special import ndtri, stdtrit  # scipy takes longer to import than all the rest

        return float(ndtri(share) if math.isinf(self.freedom) else stdtrit(self.freedom, share))

    def _tail(self, distance: float) -> float:
        """Probability of more than ``distance`` standard errors on one side."""
        from scipy.special import ndtr, stdtr

        return float(ndtr(-distance) if math.isinf(self.freedom) else stdtr(self.freedom, -distance))
