"""Which files of a repository are taken: data and safetensors, never code, and pickles only when told to."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from dataflex.errors import UserError
from dataflex.grid import Asset

TAKEN = {
    "models": ("*.safetensors", "*.json", "*.txt", "*.jinja", "tokenizer.model", "LICENSE*", "README.md"),
    "datasets": (
        "*.json",
        "*.jsonl",
        "*.json.gz",
        "*.jsonl.gz",
        "*.json.zst",
        "*.jsonl.zst",
        "*.parquet",
        "README.md",
    ),
}
"""By kind, when the grid names no files."""
LEFT_OUT = {
    "models": ("consolidated*", "original/*", "onnx/*", "*.index.json.bak"),
    "datasets": (),
}
"""Second copies of the same weights in another layout."""
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib")
CODE = (".py", ".so", ".sh", ".ipynb")
INTERNAL = (".cache/", ".git/", ".gitattributes")


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def choose(asset: Asset, names: Iterable[str]) -> list[str]:
    """Names of the files that are taken, sorted.

    Args:
        asset: what the grid says of the repository.
        names: all its files, as paths within it.

    Raises:
        UserError: a pattern of the grid fits no file, nothing is left, or the weights exist as pickles alone.
    """
    present = sorted(name for name in names if not name.startswith(INTERNAL))
    for pattern in asset.files:
        if not any(fnmatchcase(name, pattern) for name in present):
            raise UserError(f"{asset.name} has no file {pattern}: correct `files` in the grid")
    safe = [name for name in present if not name.endswith((*PICKLES, *CODE))]
    if asset.files:
        taken = [name for name in safe if _matches(name, asset.files)]
    else:
        taken = [
            name
            for name in safe
            if _matches(name, TAKEN[asset.kind]) and not _matches(name, LEFT_OUT[asset.kind])
        ]
    pickles = [name for name in present if name.endswith(PICKLES)]
    if asset.kind == "models" and not asset.files and pickles and not _weights(taken):
        if not asset.pickle:
            raise UserError(
                f"{asset.name} has its weights as pickles alone ({pickles[0]}), and loading one runs the "
                "code in it: take a revision with safetensors, or say `pickle: true` if you trust its authors"
            )
        taken = sorted(
            [*taken, *(name for name in pickles if PurePosixPath(name).match("pytorch_model*.bin"))]
        )
    if not taken:
        raise UserError(f"{asset.name} holds no file that could be taken: say which with `files` in the grid")
    return taken


def _weights(names: Iterable[str]) -> bool:
    return any(name.endswith(".safetensors") for name in names)
