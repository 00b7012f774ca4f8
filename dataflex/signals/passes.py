"""One pass over some rows in batches of similar length, dealt to the ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from rich.progress import track

from dataflex.arrays import IntArray
from dataflex.collectives import world
from dataflex.signals.pauses import pause

IGNORED = -100
"""Label of a position that is not supervised."""

Batch = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Rows:
    """Rows that can be brought to the model."""

    lengths: IntArray
    """Tokens of each row."""
    supervised: IntArray
    """Supervised tokens of each row."""
    batch: Callable[[Sequence[int]], Batch]
    """Makes a batch of row numbers, on the model's device."""


def token_batches(lengths: IntArray, batch_tokens: int) -> list[list[int]]:
    """Group rows of similar length into batches of at most ``batch_tokens`` padded tokens, longest first.

    A row that is longer than that makes a batch of its own.
    """
    batches: list[list[int]] = []
    for row in np.argsort(-lengths, kind="stable").tolist():
        if not batches or (len(batches[-1]) + 1) * int(lengths[batches[-1][0]]) > batch_tokens:
            batches.append([])
        batches[-1].append(row)
    return batches


def my_batches(batches: Sequence[T], what: str) -> Iterator[tuple[T, bool]]:
    """Yield this rank's batches in turn, with a progress bar on the first rank.

    All ranks get the same number of batches, because a sharded model's passes are collective operations: a
    rank that has none left repeats the last one, and is told that it does not count.
    """
    rank, size = world()
    rounds = -(-len(batches) // size)
    for turn in track(range(rounds), what, disable=rank != 0, transient=True):
        pause()
        mine = turn * size + rank
        yield batches[min(mine, len(batches) - 1)], mine < len(batches)


def round_of(batches: Sequence[T], turn: int) -> Sequence[T]:
    """Return the batches that all ranks get in a turn of ``my_batches``: what they do must match."""
    size = world()[1]
    return batches[turn * size : (turn + 1) * size]


def refuse_gaps(seen: npt.ArrayLike) -> None:
    """Make sure that every row was measured exactly once; ``seen``: how often each was."""
    wrong = int((np.asarray(seen) != 1).sum())
    if wrong:
        raise RuntimeError(f"{wrong} rows were not measured exactly once")


def tokens_and_labels(row: dict[str, Any]) -> tuple[list[int], list[int]]:
    """Return the token ids and labels of a row; a row of plain text supervises all of its tokens."""
    return list(row["input_ids"]), list(row.get("labels") or row["input_ids"])


def token_counts(row: dict[str, Any]) -> tuple[int, int]:
    """Return a row's tokens and supervised tokens, the latter after the shift by one."""
    tokens, labels = tokens_and_labels(row)
    return len(tokens), sum(label != IGNORED for label in labels[1:])
