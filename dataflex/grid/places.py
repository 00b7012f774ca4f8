"""Where a grid's corpora, models and runs lie below the rung's folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dataflex.grid.cells import Cell, experiment_spec
from dataflex.grid.hub import Asset, model_assets

DRAWN = ("planted", "markov")
"""Sources of a corpus of which every seed draws its own."""
SEED = re.compile(r"/seed(\d+)$")


def corpus_name(grid: Mapping[str, Any], cell: Cell) -> str:
    """Name of the corpus that the cell trains and is evaluated on; of a drawn one each seed has its own."""
    name = str(experiment_spec(grid, cell)["scales"][cell.scale]["corpus"])
    return f"{name}/seed{cell.seed}" if grid["corpora"][name]["source"] in DRAWN else name


def corpus_spec(grid: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The grid's entry of a corpus, with the seed where its name has one."""
    seed = SEED.search(name)
    spec = dict(grid["corpora"][SEED.sub("", name)])
    return {**spec, "seed": int(seed[1])} if seed else spec


def run_dir(root: str, cell: Cell) -> str:
    """The cell's run directory below the rung's folder ``root``."""
    return f"{root}/train/{cell.path}"


def corpus_dir(grid: Mapping[str, Any], root: str, name: str) -> str:
    """Folder of a corpus: its own one when it was made elsewhere, else one below ``root``."""
    spec = corpus_spec(grid, name)
    return str(spec["path"]) if spec["source"] == "directory" else f"{root}/{name}"


def asset_dir(root: str, asset: Asset) -> str:
    """Folder of what was taken from the hub or a mirror; all of them together are laid out as a mirror is."""
    return f"{root}/assets/{asset.name}"


def asset_ready(root: str, asset: Asset) -> str:
    """Sentinel of what was taken from the hub or from a mirror."""
    return f"{asset_dir(root, asset)}.ready.json"


def model_path(grid: Mapping[str, Any], root: str, model: str) -> str:
    """Where a model is loaded from: the folder that was filled with it, or a hub name or path."""
    spec = grid["models"][model]
    if "build" in spec:
        return f"{root}/models/{model}"
    taken = model_assets(grid, model)
    return asset_dir(root, taken[0]) if taken else str(spec["name_or_path"])


def is_path(name_or_path: str) -> bool:
    """Whether a model is named by its folder, which its first letter tells, there or not."""
    return name_or_path.startswith(("/", ".", "~"))


def model_ready(grid: Mapping[str, Any], root: str, model: str) -> list[str]:
    """Sentinels of a model: none if it is named by a hub name or path, which nothing here makes."""
    if "build" in grid["models"][model]:
        return [f"{root}/models/{model}.ready.json"]
    return [asset_ready(root, asset) for asset in model_assets(grid, model)]
