"""What decides about a document: two numbers made from its text and the seed, and from nothing else.

One says on which side of the held-out split it lies, the other its place in the random order that samples and
subsets are taken from. Equal texts have equal numbers, so that exact duplicates fall on one side, and neither
files, their order nor the number of workers matter.
"""

from __future__ import annotations

import hashlib

WHOLE = 2**64
"""One more than the largest number."""


def keys(text: bytes, seed: int) -> tuple[int, int]:
    """Numbers in ``range(WHOLE)`` for the split and for the order of a text (keyed BLAKE2b)."""
    digest = hashlib.blake2b(text, digest_size=16, key=f"dataflex corpus {seed}".encode()).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def threshold(share: float) -> int:
    """The number below which this share of all texts lies."""
    return round(share * WHOLE)
