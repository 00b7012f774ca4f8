"""Tolerances computed from repeated runs of the same program under what differs between platforms.

As in Megatron-LM's functional tests, nobody chooses a number's tolerance: it follows from repeated runs. The
repeats here differ on purpose (threads, vector instructions), and the largest difference that any value of a
quantity showed is the quantity's spread. Another platform may differ by ``MARGIN`` spreads. Where the repeats
agree better than single precision can be trusted to, ``ROUNDING`` of the quantity's scale is allowed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dataflex.golden.entry import Entry
from dataflex.golden.golden_file import Run, Tolerance

MARGIN = 10.0
"""Spreads that another platform may be off by."""
ROUNDING = 64 * float(np.finfo(np.float32).eps)
"""Least tolerance, relative to the root of a quantity's mean square: 7.6e-6."""


def tolerances(recorded: Run, repeats: Sequence[Run]) -> dict[str, Tolerance]:
    """Return the tolerance of every quantity.

    Args:
        recorded: the run that others are compared with.
        repeats: the same run elsewhere, or as if elsewhere.
    """
    return {name: _tolerance(entry, [run.get(name) for run in repeats]) for name, entry in recorded.items()}


def _tolerance(entry: Entry, others: Sequence[Entry | None]) -> Tolerance:
    alike = [other for other in others if other is not None and comparable(entry, other)]
    varies = len(alike) < len(others)
    if entry.kind == "decisions":
        return Tolerance(varies=varies or any(other.digest != entry.digest for other in alike))
    spread = max((difference(entry, other) for other in alike), default=0.0)
    allowed = max(MARGIN * spread, ROUNDING * entry.scale)
    return Tolerance(float(f"{allowed:.3g}"), float(f"{spread:.3g}"), varies)


def comparable(one: Entry, other: Entry) -> bool:
    """Tell whether two runs' entries of a quantity have values that correspond to each other."""
    return one.kind == other.kind and one.count == other.count and len(one.values) == len(other.values)


def difference(one: Entry, other: Entry) -> float:
    """Return the largest difference of corresponding numbers; 0 if there is none."""
    return max((abs(a - b) for a, b in zip(one.values, other.values, strict=True)), default=0.0)
