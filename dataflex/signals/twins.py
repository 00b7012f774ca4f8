"""Rows that say the same: equal rows get equal measurements to the last bit.

A row's loss or gradient depends, in the last digits, on the batch that it was measured in. Batches depend on
the number of processes, and which of two equal rows is picked must not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dataflex.arrays import IntArray
from dataflex.signals.scores import row_keys

Array = npt.NDArray[Any]


def twins(rows: Any, supervised: IntArray) -> IntArray:
    """Return a number for each row that it shares with all rows of the same tokens.

    Args:
        rows: the dataset.
        supervised: supervised tokens of each row; rows that differ in them are no twins.
    """
    names = np.array([f"{key} {count}" for key, count in zip(row_keys(rows), supervised, strict=True)])
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def as_the_first(values: Array, twins: IntArray) -> Array:
    """Return the values with that of the first of its twins in place of each row's own.

    Args:
        values: one line a row.
        twins: of these rows.
    """
    first, own = np.unique(twins, return_index=True, return_inverse=True)[1:]
    return values[first[own]]
