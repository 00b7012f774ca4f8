"""Rows of similar length in batches, cut as this library cuts them.

Needs nothing but the standard library: other environments use it too, where this library can't be imported.
"""

from __future__ import annotations

from collections.abc import Sequence

Row = dict[str, list[int]]


def by_length(rows: Sequence[Row], budget: int) -> list[list[Row]]:
    """Return batches of at most ``budget`` padded tokens, longest rows first.

    A row that is longer than that makes a batch of its own.
    """
    batches: list[list[Row]] = []
    for row in sorted(rows, key=lambda row: -len(row["input_ids"])):
        if not batches or (len(batches[-1]) + 1) * len(batches[-1][0]["input_ids"]) > budget:
            batches.append([])
        batches[-1].append(row)
    return batches
