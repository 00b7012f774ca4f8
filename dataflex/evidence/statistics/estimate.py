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
        half = self.quantile(1 - (1 - level) / 2) * self.error
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

        With known variance the normal quantiles of the test and of the power add up, times the error (Bloom
        1995). With Student's t they do not: at 2 degrees of freedom their sum is 5 % too small, so that the
        effect is solved for with the noncentral distribution. None where nothing is known of the error.
        """
        if not self.known:
            return None
        critical = self.quantile(1 - (1 - level) / 2)
        if math.isinf(self.freedom):
            return (critical + self.quantile(power)) * self.error
        return _noncentrality(critical, self.freedom, power) * self.error

    @property
    def sign(self) -> int:
        """1 or -1 where the 95 % interval lies above or below zero; 0 where it holds zero or is not known."""
        low, high = self.interval() or (0.0, 0.0)
        return int(low > 0) - int(high < 0)

    def quantile(self, share: float) -> float:
        """Quantile of the distribution of value less truth over error."""
        from scipy.special import ndtri, stdtrit  # scipy takes longer to import than all the rest

        return float(ndtri(share) if math.isinf(self.freedom) else stdtrit(self.freedom, share))

    def _tail(self, distance: float) -> float:
        """Probability of more than ``distance`` standard errors on one side."""
        from scipy.special import ndtr, stdtr

        return float(ndtr(-distance) if math.isinf(self.freedom) else stdtr(self.freedom, -distance))


def _noncentrality(critical: float, freedom: float, power: float) -> float:
    """Effect in standard errors at which |t| exceeds ``critical`` with probability ``power``."""
    from scipy.optimize import brentq
    from scipy.special import ncfdtr

    def missed(effect: float) -> float:
        # The square of t has one tail, where the noncentral t's far one is lost to rounding.
        return float(ncfdtr(1, freedom, effect**2, critical**2)) - (1 - power)

    if missed(0.0) <= 0:
        return 0.0
    enough = critical
    while missed(enough) > 0:
        enough *= 2
    return float(brentq(missed, 0.0, enough, xtol=1e-12))
