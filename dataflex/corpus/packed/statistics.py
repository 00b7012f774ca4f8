"""How much a built corpus holds: documents, bytes, tokens, shares and lengths, by split and domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dataflex.corpus.packed.shards import SPLITS, Shard

_BLOCK = 2**20


def statistics(shards: Sequence[Shard]) -> dict[str, dict[str, dict[str, Any]]]:
    """Statistics by split and domain; shares are of the split's tokens, lengths are in tokens.

    Memory grows with the longest document alone (8 bytes a token of it).
    """
    table: dict[str, dict[str, dict[str, Any]]] = {}
    for split in SPLITS:
        own = [shard for shard in shards if shard.split == split]
        total = sum(shard.record["tokens"] for shard in own)
        table[split] = {}
        for domain in sorted({shard.domain for shard in own}):
            parts = [shard for shard in own if shard.domain == domain]
            documents, size, tokens = (
                sum(part.record[key] for part in parts) for key in ("documents", "bytes", "tokens")
            )
            table[split][domain] = {
                "documents": documents,
                "bytes": size,
                "tokens": tokens,
                "share": tokens / total,
                "mean_length": tokens / documents,
                "median_length": _median(parts, documents),
            }
    return table


def _median(shards: Sequence[Shard], documents: int) -> float:
    """Median length of documents, exactly, from a histogram of lengths."""
    counts = np.zeros(1, np.int64)
    for shard in shards:
        ends = shard.documents()["end"]
        for start in range(0, len(ends), _BLOCK):
            block = ends[start : start + _BLOCK].astype(np.int64)
            found = np.bincount(np.diff(block, prepend=int(ends[start - 1]) if start else 0))
            if len(found) > len(counts):
                counts = np.pad(counts, (0, len(found) - len(counts)))
            counts[: len(found)] += found
    upto = np.cumsum(counts)
    low, high = (
        int(np.searchsorted(upto, rank, side="right")) for rank in ((documents - 1) // 2, documents // 2)
    )
    return (low + high) / 2


def without_held_out(card: dict[str, Any]) -> list[str]:
    """Return the domains of a build that have documents to train on but none held out, though asked for."""
    if not card["options"]["held_out"]:
        return []
    return sorted(set(card["statistics"]["train"]) - set(card["statistics"]["held_out"]))


def print_statistics(card: dict[str, Any]) -> None:
    """Print a card's statistics for people."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for split, domains in card["statistics"].items():
        table = Table(title=split.replace("_", " "))
        table.add_column("domain", no_wrap=True)
        for heading in ("documents", "MB", "tokens", "share", "mean length", "median length"):
            table.add_column(heading, justify="right")
        for domain, row in domains.items():
            table.add_row(
                domain,
                f"{row['documents']:,}",
                f"{row['bytes'] / 1e6:,.2f}",
                f"{row['tokens']:,}",
                f"{row['share']:.2%}",
                f"{row['mean_length']:,.1f}",
                f"{row['median_length']:,.1f}",
            )
        table.add_section()
        sums = {key: sum(row[key] for row in domains.values()) for key in ("documents", "bytes", "tokens")}
        table.add_row("all", f"{sums['documents']:,}", f"{sums['bytes'] / 1e6:,.2f}", f"{sums['tokens']:,}")
        console.print(table)
