"""Rows that say the same: equal rows get equal measurements to the last bit.

A row's loss or gradient depends, in the last digits, on the batch that it was measured in. Batches depend on
the number of processes, and which of two equal rows is picked must not.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from dataflex.arrays import IntArray
from dataflex.signals.passes import IGNORED
from dataflex.signals.scores import row_keys

Array = npt.NDArray[Any]


def twins(rows: Any) -> IntArray:
    """Return a number for each row of a dataset that it shares with all of the same tokens and labels."""
    keys = row_keys(rows)
    if "labels" in getattr(rows, "column_names", ()):
        keys = [f"{key} {labels}" for key, labels in zip(keys, _supervised(rows), strict=True)]
    return np.unique(np.array(keys), return_inverse=True)[1].astype(np.int64)


def _supervised(rows: Any) -> list[str]:
    """Return a digest of which tokens of each row are supervised; labels are tokens but for that."""
    found: list[str] = []
    for batch in rows.with_format("arrow").select_columns(["labels"]).iter(batch_size=10_000):
        labels = batch["labels"].combine_chunks()
        offsets = labels.offsets.to_numpy() - labels.offsets[0].as_py()
        counted = labels.flatten().to_numpy() != IGNORED
        found += [
            hashlib.sha256(counted[start:stop].tobytes()).hexdigest()[:16]
            for start, stop in pairwise(offsets)
        ]
    return found


def as_the_first(values: Array, twins: IntArray) -> Array:
    """Return the values with that of the first of its twins in place of each row's own.

    Args:
        values: one line a row.
        twins: of these rows.
    """
    first, own = np.unique(twins, return_index=True, return_inverse=True)[1:]
    return values[first[own]]
