"""What is kept of a quantity of a golden run: a digest of all its bits, and numbers that stand for it.

Numbers of floating point are summarised so finely that a small change anywhere shows: extremes, quartiles,
mean, root of the mean square, and products with fixed signs, which see every element. Whole numbers and texts
are decisions: they are equal or they are not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from dataflex.golden.values import Leaf

FEW = 16
"""Values up to this number are kept themselves."""
SIGNS = 9
"""Products with signs of a larger number of values."""
DIGITS = 9
QUARTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Entry:
    """One quantity of a run, over all steps."""

    kind: Literal["numbers", "decisions"]
    digest: str
    """SHA-256 of kinds, shapes and bits."""
    count: int
    """Values; of numbers the finite ones alone."""
    values: tuple[Any, ...]
    """Numbers: the finite values, or ``summary`` of them. Decisions: themselves, if they are few."""
    scale: float = 0.0
    """Numbers: the root of the mean square of all."""

    @classmethod
    def of(cls, name: str, found: Sequence[Leaf]) -> Entry:
        """Summarise what a quantity was, time after time.

        Args:
            name: of the quantity, which chooses the signs.
            found: arrays, or texts.
        """
        digest = hashlib.sha256()
        for leaf in found:
            if isinstance(leaf, str):
                digest.update(f"text {len(leaf)} {leaf}".encode())
            else:
                digest.update(f"{leaf.dtype.str} {leaf.shape} ".encode())
                digest.update(leaf.tobytes())
        texts = [leaf for leaf in found if isinstance(leaf, str)]
        arrays = [leaf for leaf in found if not isinstance(leaf, str)]
        if texts or all(array.dtype.kind == "i" for array in arrays):
            every = [*texts, *(value for array in arrays for value in array.ravel().tolist())]
            few = tuple(every) if len(every) <= FEW else ()
            return cls("decisions", digest.hexdigest(), len(every), few)
        numbers = np.concatenate([array.astype(np.float64).ravel() for array in arrays])
        finite = numbers[np.isfinite(numbers)]
        values = finite if len(finite) <= FEW else summary(name, finite)
        scale = float(np.sqrt(np.mean(finite**2))) if len(finite) else 0.0
        return cls("numbers", digest.hexdigest(), len(finite), tuple(map(_rounded, values)), _rounded(scale))

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        record = {"kind": self.kind, "digest": self.digest, "count": self.count, "values": list(self.values)}
        return record | ({"scale": self.scale} if self.kind == "numbers" else {})

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Entry:
        """Read what ``as_dict`` returned; other keys are passed over.

        Raises:
            KeyError: something lacks.
        """
        kind = record["kind"]
        scale = record["scale"] if kind == "numbers" else 0.0
        return cls(kind, record["digest"], record["count"], tuple(record["values"]), scale)


def summary(name: str, numbers: np.ndarray) -> np.ndarray:
    """Return what stands for many numbers, all in their own unit.

    Args:
        name: chooses the signs.
        numbers: finite, shape ``(n,)``.

    Returns:
        Mean, root of the mean square, five quartiles, then sums with signs over the root of n.
    """
    n = len(numbers)
    bits = np.frombuffer(hashlib.shake_256(name.encode()).digest(-(-n * SIGNS // 8)), np.uint8)
    signs = np.unpackbits(bits)[: n * SIGNS].reshape(SIGNS, n) * 2.0 - 1.0
    # In a fixed order, so that no library's blocks decide the last bits.
    sums = np.add.accumulate(signs * numbers, axis=1)[:, -1] / np.sqrt(n)
    return np.concatenate(
        [[numbers.mean(), np.sqrt(np.mean(numbers**2))], np.quantile(numbers, QUARTILES), sums]
    )


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
