"""Checks of what was taken and made: licences, files as locked, corpora that can be read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dataflex import grid as grids
from dataflex.assets.digests import sizes_differ
from dataflex.assets.hub import gate
from dataflex.assets.lock import Entry
from dataflex.corpus.packed.card import MADE_BY
from dataflex.corpus.packed.quotas import read_budget
from dataflex.corpus.packed.rows import TokenStream
from dataflex.errors import UserError
from dataflex.preflight.report import Finding

BYTES_PER_TOKEN = 4
"""In a shard, where the vocabulary has more than 65,536 tokens."""
ROWS = 0.01
"""Share of the expected rows by which a pool may differ: some are dropped, and sizes are told round."""


def licence(asset: grids.Asset, cache: Path, locked: Mapping[str, Entry]) -> Finding:
    """Licence of a repository; of a gated one, that it was accepted: then its files are there."""
    what, terms = f"licence of {asset.name}", asset.licence or "not stated in the grid"
    entry = locked.get(asset.name)
    if entry is None or sizes_differ(cache / asset.name, entry.files):
        if asset.gated:
            return Finding(what, "failed", gate(asset))
        return Finding(what, "warned", f"{terms}; not taken yet")
    if asset.gated:
        return Finding(
            what, "passed", f"{terms}; gated, and its files are there: accepted by whoever got them"
        )
    return Finding(what, "passed" if asset.licence else "warned", terms)


def as_locked(asset: grids.Asset, cache: Path, locked: Mapping[str, Entry]) -> Finding:
    """Whether a repository lies in the cache as it is locked, by names and sizes."""
    what, entry = f"files of {asset.name}", locked.get(asset.name)
    if entry is None:
        return Finding(what, "failed", "not locked: take it with dataflex-cli assets resolve")
    if wrong := sizes_differ(cache / asset.name, entry.files):
        return Finding(what, "failed", f"{wrong}: take it again with dataflex-cli assets resolve")
    if asset.pinned and entry.revision is None:
        return Finding(what, "warned", f"nobody told their revision; the grid asks for {asset.revision}")
    size = f"{len(entry.files)} files, {entry.bytes / 1e9:.3g} GB"
    return Finding(what, "passed", f"{size}, revision {entry.revision or 'unknown, and none is asked for'}")


def readable(name: str, folder: Path) -> Finding:
    """Whether the first row of every part of a corpus can be read."""
    what = f"corpus {name}"
    try:
        parts = _read_first(folder)
    except (OSError, ValueError, KeyError, UserError) as error:
        return Finding(what, "failed", f"{folder} can't be read ({error}): make it again")
    return Finding(what, "passed", f"{folder}: {', '.join(parts)}")


def as_many(name: str, folder: Path, expected: int) -> Finding:
    """Whether a pool has as many rows as the grid expects: those of a validation split may be among them."""
    what = f"rows of {name}"
    rows = json.loads((folder / "card.json").read_text(encoding="utf-8"))["instructions"]["rows"]
    told = f"{rows:,}, {expected:,} expected"
    if abs(rows - expected) > ROWS * expected:
        return Finding(
            what,
            "failed",
            f"{told}: name the pool's own files under `files` of the corpus in the grid, or correct what it "
            "expects",
        )
    return Finding(what, "passed", told)


def _read_first(folder: Path) -> list[str]:
    info = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
    files = {name: folder / entry["file_name"] for name, entry in info.items()}
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    files |= {f"test/{name}": folder / "test" / f"{name}.jsonl" for name in card.get("domains", {})}
    for path in files.values():
        with path.open(encoding="utf-8") as lines:
            json.loads(next(lines, ""))
    parts = sorted(files)
    packed = folder / "packed"
    if (packed / "card.json").is_file():
        content = json.loads((packed / "card.json").read_text(encoding="utf-8"))
        if content["made_by"] != MADE_BY:
            raise ValueError(f"{packed} is no built corpus")
        for domain in content["statistics"]["train"]:
            TokenStream(packed, domain).tokens(0, 1)
        parts.append(f"{len(content['statistics']['train'])} packed domains")
    return parts


def room(
    grid: Mapping[str, Any],
    names: Iterable[str],
    taken: Iterable[grids.Asset],
    root: Path,
    locked: Mapping[str, Entry],
) -> dict[str, float]:
    """GB that are still to be written before the trainings, by purpose: repositories and packed corpora.

    Of a packed corpus: its tokens, and half as many again for what the subset is taken from. What a
    repository needs is known once it is locked.
    """
    missing = 0.0
    for asset in taken:
        entry = locked.get(asset.name)
        if entry is not None and sizes_differ(root / "assets" / asset.name, entry.files):
            missing += entry.bytes
    tokens = 0.0
    for name in names:
        spec = grids.corpus_spec(grid, name)
        made = Path(grids.corpus_dir(grid, str(root), name)) / "packed" / "card.json"
        budget = spec.get("options", {}).get("tokens")
        if spec["source"] == "packed" and budget and not made.is_file():
            tokens += 2.5 * read_budget(str(budget))
    return {"repositories": missing / 1e9, "corpora": tokens * BYTES_PER_TOKEN / 1e9}
