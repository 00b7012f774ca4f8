"""The grid of a reproduction: a YAML file in, training cells and their LLaMA-Factory configs out."""

from dataflex.grid.cells import (
    Cell,
    GridError,
    about,
    cell_from_path,
    cells,
    experiment_spec,
    is_yardstick,
    method_spec,
    mixes,
    needed,
    priority,
    reported,
    resources,
    settings,
    start,
    target,
)
from dataflex.grid.curves import steps_to_evaluate, total_steps
from dataflex.grid.file import load, validate
from dataflex.grid.places import DRAWN, corpus_dir, corpus_name, corpus_spec, model_path, run_dir
from dataflex.grid.render import recipe, render

__all__ = [
    "DRAWN",
    "Cell",
    "GridError",
    "about",
    "cell_from_path",
    "cells",
    "corpus_dir",
    "corpus_name",
    "corpus_spec",
    "experiment_spec",
    "is_yardstick",
    "load",
    "method_spec",
    "mixes",
    "model_path",
    "needed",
    "priority",
    "recipe",
    "render",
    "reported",
    "resources",
    "run_dir",
    "settings",
    "start",
    "steps_to_evaluate",
    "target",
    "total_steps",
    "validate",
]
