"""Whether a folder holds all of a repository, as far as its own files tell of others that belong to it."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath

from dataflex.assets.choice import PICKLES
from dataflex.assets.mirror import NOTES
from dataflex.grid import Asset

WEIGHTS = (".safetensors", *PICKLES)
_INDEX = ".safetensors.index.json"
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.[^/]+)")


def lacking(asset: Asset, folder: Path, names: Collection[str]) -> str | None:
    """What is missing of a repository, in words; None if nothing tells of more than there is.

    Args:
        asset: what the grid says of it.
        folder: where it lies.
        names: its files that are taken; those that the grid leaves out with `files` are not missed.
    """
    if half := min((folder / NOTES).rglob("*.incomplete"), default=None):
        return f"a download into it has not ended ({half}: remove that if it has)"
    if asset.kind == "models" and not any(name.endswith(WEIGHTS) for name in names):
        return None if asset.files else "it has no weights; if none are wanted, say which `files` in the grid"
    if asset.kind == "models":
        return lacking_weights(folder, names)
    return None if asset.files else _of_a_row(names)


def lacking_weights(folder: Path, names: Collection[str]) -> str | None:
    """What is missing of a model's weights by its index and the numbers of its shards, in words.

    Args:
        folder: where it lies.
        names: its files that are looked at.
    """
    return _of_an_index(folder, names) or _of_a_row(names)


def _of_an_index(folder: Path, names: Collection[str]) -> str | None:
    for index in sorted(name for name in names if name.endswith(_INDEX)):
        try:
            shards = set(json.loads((folder / index).read_text(encoding="utf-8"))["weight_map"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return f"{index} can't be read"
        beside = PurePosixPath(index).parent
        if absent := sorted(shard for shard in shards if str(beside / shard) not in names):
            return f"{beside / absent[0]} is missing, which {index} names{_more(absent)}"
    return None


def _of_a_row(names: Iterable[str]) -> str | None:
    """What is missing of files that are numbered, as ``model-00001-of-00002.safetensors``."""
    rows: defaultdict[tuple[str, str, str], set[int]] = defaultdict(set)
    for name in names:
        if found := _SHARD.fullmatch(name):
            rows[found["stem"], found["count"], found["suffix"]].add(int(found["number"]))
    for (stem, count, suffix), there in sorted(rows.items()):
        last = int(count)
        # Weights are counted from one, parts of data sets from zero.
        first = 1 if suffix in WEIGHTS or last in there else 0
        if absent := sorted(set(range(first, first + last)) - there):
            return f"{stem}-{absent[0]:05d}-of-{count}{suffix} is missing{_more(absent)}"
    return None


def _more(absent: Collection[object]) -> str:
    return f", and {len(absent) - 1} more" if len(absent) > 1 else ""
