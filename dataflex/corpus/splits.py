"""Which split a document belongs to."""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Iterable
from typing import Literal

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
HELD_OUT = 0.1


def _share(group: str, seed: int) -> float:
    """A number in [0, 1) that depends on the document's content and the seed only."""
    return int.from_bytes(hashlib.sha256(f"split:{seed}:{group}".encode()).digest()[:8], "big") / 2**64


def assign_splits(
    groups: Iterable[str], seed: int, held_out: Iterable[Split] = ("test", "validation")
) -> dict[str, Split]:
    """Split the documents of one domain by their content: a tenth to each held-out split, the rest to train.

    A document's place depends on nothing but its content, so documents that are added, removed or reordered
    leave the others where they are. Only in a domain so small that this leaves a split empty, places go by
    the order of the hashes: the first tenth, at least one document, to the first held-out split, and so on;
    with too few documents for that, all are of train.

    Args:
        groups: fingerprints of the documents (see `Document.group`).
        seed: another seed gives another split.
        held_out: which splits to cut from the documents.

    Returns:
        The split of every group.
    """
    ranked = sorted(set(groups), key=lambda group: (_share(group, seed), group))
    cut = list(held_out)
    limits = [(number + 1) * HELD_OUT for number in range(len(cut))]
    assigned: dict[str, Split] = {}
    for group in ranked:
        place = bisect.bisect_right(limits, _share(group, seed))
        assigned[group] = cut[place] if place < len(cut) else "train"
    if len(set(assigned.values())) <= len(cut):
        each = max(1, int(HELD_OUT * len(ranked)))
        for number, group in enumerate(ranked):
            assigned[group] = cut[number // each] if number < each * len(cut) < len(ranked) else "train"
    return assigned
