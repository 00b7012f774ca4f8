"""The training config of a cell: the file's layers, and what the cell itself decides."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from dataflex.grid.cells import Cell, GridError, experiment_spec, method_spec, needed, settings, start
from dataflex.grid.hub import NAMED, models_of
from dataflex.grid.layers import merge
from dataflex.grid.places import corpus_dir, corpus_name, model_path, run_dir

PLACEHOLDER = re.compile(r"\{([a-z_][a-z0-9_]*|model:[^{}]+)\}")


def render(grid: Mapping[str, Any], cell: Cell, root: str, domains: Iterable[str]) -> dict[str, Any]:
    """The cell's training config: LLaMA-Factory keys with the dataflex block, for ``dataflex-cli train``.

    What the cell itself decides (seed, folders, starting model) wins over the file. ``{name}`` in a string is
    replaced: ``root``, ``corpus``, ``model``, ``seed``, ``domains`` (the corpus's domains as LLaMA-Factory's
    comma list), ``model:NAME`` (folder of another model of the grid) and the roles under ``needs`` (their run
    directories).

    Raises:
        GridError: a placeholder has no value.
    """
    corpus = corpus_dir(grid, root, corpus_name(grid, cell))
    begin = start(grid, cell)
    model = run_dir(root, begin) if begin else model_path(grid, root, cell.model)
    values: dict[str, Any] = {
        "root": root,
        "corpus": corpus,
        "model": model,
        "seed": cell.seed,
        "domains": ",".join(domains),
        **{role: run_dir(root, other) for role, other in needed(grid, cell).items()},
        **{f"{NAMED[1:]}{name}": model_path(grid, root, name) for name in models_of(grid, cell)},
    }
    config = merge(
        settings(grid, cell),
        {
            "model_name_or_path": model,
            "dataset_dir": corpus,
            "output_dir": run_dir(root, cell),
            "seed": cell.seed,
        },
    )
    return {key: _fill(value, values, f"{cell.path}: {key}") for key, value in sorted(config.items())}


def _fill(value: Any, values: Mapping[str, Any], place: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _fill(inner, values, f"{place}.{key}") for key, inner in value.items()}
    if isinstance(value, list):
        return [_fill(inner, values, place) for inner in value]
    if not isinstance(value, str):
        return value
    for name in PLACEHOLDER.findall(value):
        if name not in values:
            raise GridError(f"{place}: nothing is called {{{name}}}; known: {', '.join(sorted(values))}")
    return PLACEHOLDER.sub(lambda match: str(values[match.group(1)]), value)


def recipe(grid: Mapping[str, Any], cell: Cell, root: str) -> str:
    """What in the grid decides this cell's config, as canonical JSON: Snakemake's re-run trigger."""
    method = method_spec(grid, cell)
    spec = experiment_spec(grid, cell)
    parts = {
        # Sizes for the plan change no run.
        "model": {key: value for key, value in grid["models"][cell.model].items() if key != "architecture"},
        "experiment": spec.get("config", {}),
        "scale": spec["scales"][cell.scale],
        "method": {key: method[key] for key in ("config", "at", "needs") if key in method},
        "start": [other.path for other in needed(grid, cell).values()],
        "root": root,
        "seed": cell.seed,
    }
    if others := {name: grid["models"][name] for name in models_of(grid, cell)[1:]}:
        parts["others"] = others
    return json.dumps(parts, sort_keys=True)
