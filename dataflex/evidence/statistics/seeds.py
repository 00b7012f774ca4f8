"""What training again would give: runs with other seeds are the sample, whatever each was measured on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dataflex.evidence.statistics.estimate import Estimate

MOST = 20
"""Seeds up to which all patterns of signs are counted: a million."""


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean."""
    return math.fsum(values) / len(values)


def standard_deviation(values: Sequence[float]) -> float:
    """Sample standard deviation, with n - 1.

    Raises:
        ValueError: fewer than two values.
    """
    if len(values) < 2:
        raise ValueError("a standard deviation needs at least two runs")
    centre = mean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))


def of_mean(values: Sequence[float]) -> Estimate:
    """The mean over seeds, one value a seed; Student's, n - 1 degrees of freedom.

    With one seed nothing is known of the error: it is infinite.

    Raises:
        ValueError: no value.
    """
    n = len(values)
    if not n:
        raise ValueError("a mean over seeds needs at least one")
    error = standard_deviation(values) / math.sqrt(n) if n > 1 else math.inf
    return Estimate(mean(values), error, n - 1)


def differences(ours: Mapping[int, float], theirs: Mapping[int, float]) -> list[float]:
    """Ours less theirs for the seeds that both have, in their order.

    What a seed fixes (initial weights, order of the rows) is the same on both sides and drops out.

    Raises:
        ValueError: no seed in common.
    """
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        raise ValueError("the two methods have no seed in common")
    return [ours[seed] - theirs[seed] for seed in shared]


def paired(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Estimate:
    """The mean of ours less theirs, paired by seed: see ``differences`` and ``of_mean``."""
    return of_mean(differences(ours, theirs))


@dataclass(frozen=True)
class SignFlip:
    """An exact test that differences are as likely to be negative as positive.

    Attributes:
        p_value: two-sided.
        least: the smallest p-value that so many seeds can give: with fewer than six it is above .05.
    """

    p_value: float
    least: float


def sign_flip(values: Sequence[float]) -> SignFlip:
    """Fisher's randomisation test of paired differences: all patterns of signs are equally likely.

    The p-value is the share of the 2^n patterns whose sum is at least as far from zero as the one seen.
    Nothing is assumed of the distribution but that each difference is symmetric about zero (Fisher 1935).

    Raises:
        ValueError: no value, or more than ``MOST``.
    """
    n = len(values)
    if not 0 < n <= MOST:
        raise ValueError(f"the patterns of {n} signs are not counted: give 1 to {MOST} differences")
    sums = np.zeros(1)
    for value in np.abs(np.asarray(values, dtype=float)):
        sums = np.concatenate([sums + value, sums - value])
    # Equal sums differ by rounding.
    seen = abs(math.fsum(values)) - 1e-9 * max(1e-300, float(np.abs(values).sum()))
    return SignFlip(float((np.abs(sums) >= seen).mean()), min(1.0, 2.0 ** (1 - n)))
