"""Exact and near duplicates, in memory that does not grow with the corpus.

The corpus is read once. Of every document that is kept, all runs of eight words are remembered. A later
document whose runs are mostly there already is a near duplicate: it shares that part of its text with what
was kept, wherever that lies. Two different runs that take the same place in the memory can only drop a
document that could have stayed, never keep one that should go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, MutableMapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dataflex.corpus.documents import Document, fingerprint, words
from dataflex.corpus.splits import SPLITS, Split

RUN = 8
MAX_SHARED = 0.4

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_MIXER = np.uint64(0xD6E8FEB86659FD93)


class WordHasher:
    """64-bit hashes of runs of words, equal in every process (Python's own hash is not)."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def words(self, sequence: list[str]) -> NDArray[np.uint64]:
        """One hash a word, shape (words,)."""
        known = self._known
        for word in sequence:
            if word not in known:
                known[word] = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
        return np.fromiter((known[word] for word in sequence), dtype=np.uint64, count=len(sequence))

    @staticmethod
    def runs(hashes: NDArray[np.uint64], length: int) -> NDArray[np.uint64]:
        """One hash for every `length` consecutive words, shape (max(0, words - length + 1),)."""
        count = len(hashes) - length + 1
        if count <= 0:
            return np.empty(0, dtype=np.uint64)
        total = np.zeros(count, dtype=np.uint64)
        for offset in range(length):
            total = total * _MULTIPLIER + hashes[offset : offset + count]
        total ^= total >> np.uint64(32)
        total *= _MIXER
        total ^= total >> np.uint64(32)
        return total


class KnownRuns:
    """Remembers the runs of eight words of texts in a bitmap (a Bloom filter with one hash).

    Args:
        expected_bytes: size of the text that will be added, which fixes the bitmap: at least two bits for
            every byte, so that even at the end fewer than one run in ten looks known by accident.
    """

    def __init__(self, expected_bytes: int, hasher: WordHasher | None = None) -> None:
        self._bits = max(22, (2 * expected_bytes).bit_length())
        self._map = np.zeros(1 << (self._bits - 3), dtype=np.uint8)
        self._hasher = hasher or WordHasher()

    def slots(self, text: str) -> NDArray[np.uint64]:
        """Places in the bitmap of the text's runs, one a run; of all its words if it has fewer than eight."""
        sequence = words(text)
        runs = self._hasher.runs(self._hasher.words(sequence), min(RUN, len(sequence)) or 1)
        return runs >> np.uint64(64 - self._bits)

    def shared(self, slots: NDArray[np.uint64]) -> float:
        """Fraction of these places that are taken, 0 to 1."""
        if not len(slots):
            return 0.0
        taken = self._map[slots >> np.uint64(3)] >> (slots & np.uint64(7)).astype(np.uint8)
        return float(np.mean(taken & np.uint8(1)))

    def add(self, slots: NDArray[np.uint64]) -> None:
        """Take these places."""
        bits = np.uint8(1) << (slots & np.uint64(7)).astype(np.uint8)
        np.bitwise_or.at(self._map, slots >> np.uint64(3), bits)


class DuplicateFilter:
    """Tells whether a document repeats one that was kept before.

    Args:
        expected_bytes: size of the text that will pass.
        max_shared: largest fraction of a document's runs of eight words that may be known already.
    """

    def __init__(self, expected_bytes: int, max_shared: float = MAX_SHARED) -> None:
        self._runs = KnownRuns(expected_bytes)
        self._exact: set[bytes] = set()
        self.max_shared = max_shared

    def admit(self, text: str) -> Literal["kept", "exact", "near"]:
        """ "kept" and remembered, or "exact" or "near" and forgotten."""
        key = bytes.fromhex(fingerprint(text))[:16]
        if key in self._exact:
            return "exact"
        slots = self._runs.slots(text)
        if self._runs.shared(slots) > self.max_shared:
            return "near"
        self._exact.add(key)
        self._runs.add(slots)
        return "kept"


def drop_straddling(
    domains: Mapping[str, MutableMapping[Split, list[Document]]], max_shared: float = MAX_SHARED
) -> dict[str, int]:
    """Take documents out of validation and test whose text lies in another split, in any domain.

    `DuplicateFilter` compares a document with those before it, so a short one that a later, longer one
    contains passes it. Here validation is held against train, and test against both.

    Returns:
        Number of documents dropped, by domain.
    """
    size = sum(len(row.text) for splits in domains.values() for rows in splits.values() for row in rows)
    known = KnownRuns(2 * size)
    dropped = dict.fromkeys(domains, 0)
    for split in SPLITS:
        added = []
        for name, splits in domains.items():
            kept = []
            for document in splits[split]:
                slots = known.slots(document.text)
                if split == "train" or known.shared(slots) <= max_shared:
                    kept.append(document)
                    added.append(slots)
            dropped[name] += len(splits[split]) - len(kept)
            splits[split] = kept
        for slots in added:
            known.add(slots)
    return dropped
