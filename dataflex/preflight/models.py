"""Checks of models that a grid names by a folder or by the hub's name: nothing takes or locks these."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from dataflex import grid as grids
from dataflex.assets.whole import lacking_weights
from dataflex.preflight.report import Finding

_CONFIG = "config.json"
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.*", "spiece.model", "*.bpe.model", "*.tiktoken")
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_TOLD = (_CONFIG, *_TOKENIZERS, "merges.txt", "*_config.json", "*_tokens*.json", "chat_template*")
"""What a digest is made of: files of megabytes, which say how a model is built and what its tokens are."""
_HUB = re.compile(r"[\w.-]+(/[\w.-]+)?")


def named(name: str, place: str, *, weights: bool) -> Finding:
    """Whether a model that is named in a grid is there.

    Args:
        name: in the grid.
        place: its ``name_or_path``.
        weights: whether something loads them.
    """
    what, folder = f"model {name}", Path(place)
    if not (grids.is_path(place) or folder.exists()) and _HUB.fullmatch(place):
        told = (
            f"{place} is not pinned: each job takes what the hub has as main, if it may ask the hub at all; "
            f"say hub: {{repo: {place}, revision: <commit>}} in the grid"
        )
        return Finding(what, "warned", told)
    if not folder.is_dir():
        # Libraries take the sign as it is written.
        hint = (
            "write the whole path, without ~" if place.startswith("~") else "correct name_or_path in the grid"
        )
        return Finding(what, "failed", f"there is no folder {place}: {hint}")
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    if lacks := _lacks(folder, names, weights=weights):
        return Finding(
            what, "failed", f"{place} holds no whole model, {lacks}: complete it, or correct name_or_path"
        )
    size = sum((folder / one).stat().st_size for one in names)
    told = f"{place}: {len(names)} files, {size / 1e9:.3g} GB"
    return Finding(
        what, "passed", f"{told}, SHA-256 of its configuration and tokenizer {_digest(folder, names)}"
    )


def _lacks(folder: Path, names: Sequence[str], *, weights: bool) -> str | None:
    if _CONFIG not in names:
        return f"{_CONFIG} is missing"
    if not _fit(names, _TOKENIZERS):
        return "a tokenizer is missing (tokenizer.json or tokenizer.model)"
    if not weights:
        return None
    return (
        lacking_weights(folder, found)
        if (found := _fit(names, _WEIGHTS))
        else "weights are missing (*.safetensors)"
    )


def _digest(folder: Path, names: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for name in _fit(names, _TOLD):
        content = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        digest.update(f"{name} {content}\n".encode())
    return digest.hexdigest()


def _fit(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def with_weights(grid: Mapping[str, Any], experiments: Sequence[str], scale: str | None) -> set[str]:
    """Models of which a training of some experiments loads the weights, or the preflight's score does.

    Args:
        grid: see ``dataflex.grid.load``.
        experiments: their names.
        scale: look at this scale alone.
    """
    found = set(grid.get("preflight", {}).get("scores", {}))
    for cell in grids.cells(grid, experiments=experiments):
        if scale not in (None, cell.scale):
            continue
        own, *others = grids.models_of(grid, cell)
        scratch = grids.settings(grid, cell).get("train_from_scratch")
        found |= {*others, *([] if scratch or grids.start(grid, cell) else [own])}
    return found
