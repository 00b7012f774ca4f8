"""Where the random subset of a domain ends, and the copying of what lies before.

Documents are taken in the random order that their hashes give, domain by domain, until a domain has its
quota; the last one is cut. So smaller subsets of one corpus lie inside larger ones of the same proportions,
but for the cuts. Documents stay in the order of the sources. Where the cut lies is found from a histogram
over the order, so that memory doesn't grow with the corpus.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dataflex.arrays import IntArray
from dataflex.corpus.packed.shards import Shard, UnitWriter
from dataflex.corpus.packed.vocabulary import Vocabulary

_BIN_BITS = 16
_BLOCK = 2**16
"""Documents that are looked at together."""
_BLOCK_TOKENS = 2**22


@dataclass(frozen=True)
class Cut:
    """The last document of a domain's subset, in the order (hash, unit, place in the unit)."""

    order: int
    unit: int
    place: int
    tokens: int
    """How many tokens the subset has of it; the last becomes the end token."""


def _blocks(shard: Shard) -> Any:
    entries = shard.documents()
    for start in range(0, len(entries), _BLOCK):
        block = np.array(entries[start : start + _BLOCK])
        before = entries["end"][start - 1] if start else np.uint64(0)
        yield start, block, np.diff(block["end"].astype(np.int64), prepend=int(before))


def find_cut(shards: Sequence[Shard], quota: int) -> Cut:
    """Where a domain's subset ends.

    Args:
        shards: of one domain.
        quota: tokens; at least one, and at most those of the shards.
    """
    bins = np.zeros(2**_BIN_BITS, np.int64)
    shift = np.uint64(64 - _BIN_BITS)
    for shard in shards:
        for _, block, lengths in _blocks(shard):
            # Weights as floats are exact: a shard has fewer than 2**53 tokens.
            counts = np.bincount(
                (block["order"] >> shift).astype(np.int64), weights=lengths, minlength=len(bins)
            )
            bins += counts.astype(np.int64)
    ends = np.cumsum(bins)
    last = int(np.searchsorted(ends, quota))
    missing = quota - int(ends[last] - bins[last])
    found: list[tuple[int, int, int, int]] = []
    for shard in shards:
        for start, block, lengths in _blocks(shard):
            for place in np.flatnonzero(block["order"] >> shift == np.uint64(last)).tolist():
                found.append((int(block["order"][place]), shard.unit, start + place, int(lengths[place])))
    for order, unit, place, tokens in sorted(found):
        if tokens >= missing:
            return Cut(order, unit, place, missing)
        missing -= tokens
    raise AssertionError("the quota is more than the shards hold")


@dataclass(frozen=True)
class CutUnit:
    """Copies what a subset takes of each unit; sent to every worker."""

    folder: Path
    """Of the subset."""
    vocabulary: Vocabulary
    cuts: Mapping[str, Cut]
    """By domain; a domain without one is left out."""

    def __call__(self, shards: Sequence[Shard]) -> dict[str, Any]:
        """Write a unit's part of the subset and return its record; held-out documents are all kept.

        Args:
            shards: all of one unit.
        """
        writer = UnitWriter(self.folder, shards[0].unit, self.vocabulary)
        for shard in shards:
            if shard.domain in self.cuts:
                self._copy(shard, writer, self.cuts[shard.domain] if shard.split == "train" else None)
        return writer.finish({})

    def _copy(self, shard: Shard, writer: UnitWriter, cut: Cut | None) -> None:
        tokens = shard.tokens(self.vocabulary.dtype)
        for start, block, lengths in _blocks(shard):
            taken = lengths.copy() if cut is None else _taken(cut, shard.unit, start, block["order"], lengths)
            sizes = block["bytes"].astype(np.int64) * taken // lengths
            begins = block["end"].astype(np.int64) - lengths
            chosen = np.flatnonzero(taken)
            for part in np.split(chosen, _splits(taken[chosen])):
                documents = [np.array(tokens[begins[index] : begins[index] + taken[index]]) for index in part]
                for document in documents:
                    document[-1] = self.vocabulary.end
                writer.add(
                    shard.split, shard.domain, documents, block["order"][part].tolist(), sizes[part].tolist()
                )


def _taken(cut: Cut, unit: int, start: int, order: npt.NDArray[np.uint64], lengths: IntArray) -> IntArray:
    """How many tokens of each document belong to the subset."""
    place = start + np.arange(len(order))
    same = order == np.uint64(cut.order)
    if unit < cut.unit:
        before = same
    elif unit == cut.unit:
        before = same & (place < cut.place)
    else:
        before = np.zeros_like(same)
    taken = np.where((order < np.uint64(cut.order)) | before, lengths, 0)
    if unit == cut.unit and 0 <= cut.place - start < len(order):
        taken[cut.place - start] = cut.tokens
    return taken


def _splits(lengths: IntArray) -> IntArray:
    """Where to split documents so that each part but those of one document has a limited number of tokens."""
    group = np.cumsum(lengths) // _BLOCK_TOKENS
    return np.flatnonzero(np.diff(group)) + 1
