"""Comparing a golden run with what is recorded: bit by bit on the recorded platform, else by tolerance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from dataflex.golden.entry import Entry
from dataflex.golden.golden_file import Golden, Run, Tolerance
from dataflex.golden.tolerances import comparable

Verdict = Literal["out", "differs", "missing", "not recorded"]
BITS = "bits"
"""Stands for a value where numbers agree to all digits that are shown, but not in their bits."""


@dataclass(frozen=True)
class Finding:
    """One value that is not what is recorded."""

    label: str
    quantity: str
    value: Any
    expected: Any
    tolerance: float
    verdict: Verdict


def compare(golden: Golden, run: Run, *, bitwise: bool) -> list[Finding]:
    """Return what is wrong with a run; nothing if it is what is recorded.

    Decisions that were different among the repeated runs are not looked at unless ``bitwise``: what they
    follow from is. A quantity that is recorded and was not measured is wrong, and so is one that was measured
    and is not recorded.

    Args:
        golden: recorded.
        run: of now.
        bitwise: whether it ran on the recorded platform.
    """
    findings: list[Finding] = []
    for name in sorted(golden.entries.keys() | run.keys()):
        expected, found = golden.entries.get(name), run.get(name)
        if expected is None:
            findings.append(Finding(golden.label, name, "there", None, 0.0, "not recorded"))
        elif found is None:
            findings.append(Finding(golden.label, name, None, "there", 0.0, "missing"))
        elif found.digest != expected.digest:
            tolerance = golden.tolerances[name]
            findings += _unequal(golden.label, name, found, expected, tolerance, bitwise)
    return findings


def _unequal(
    label: str, name: str, found: Entry, expected: Entry, tolerance: Tolerance, bitwise: bool
) -> Iterator[Finding]:
    if tolerance.varies and not bitwise:
        return
    if not comparable(found, expected):
        counts = [f"{entry.count} {entry.kind}" for entry in (found, expected)]
        yield Finding(label, name, counts[0], counts[1], 0.0, "differs")
        return
    pairs = list(zip(found.values, expected.values, strict=True))
    if expected.kind == "decisions":
        shown: tuple[Any, Any] = (found.digest[:12], expected.digest[:12])
        value, other = next((pair for pair in pairs if pair[0] != pair[1]), shown)
        yield Finding(label, name, value, other, 0.0, "differs")
        return
    # The worst one alone: a change of a method shows in most values.
    value, other = max(pairs, key=lambda pair: abs(pair[0] - pair[1]), default=(0.0, 0.0))
    if bitwise:
        shown = (value, other) if value != other else (BITS, BITS)
        yield Finding(label, name, shown[0], shown[1], 0.0, "differs")
    elif abs(value - other) > tolerance.allowed:
        yield Finding(label, name, value, other, tolerance.allowed, "out")
