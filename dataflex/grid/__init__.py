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
from dataflex.grid.efficiency import AUTHORS, Benchmark, benchmark_resources, benchmarks, left_out, possible
from dataflex.grid.file import load, validate
from dataflex.grid.places import DRAWN, corpus_dir, corpus_name, corpus_spec, model_path, run_dir
from dataflex.grid.render import recipe, render

__all__ = [
    "AUTHORS",
    "DRAWN",
    "Benchmark",
    "Cell",
    "GridError",
    "about",
    "benchmark_resources",
    "benchmarks",
    "cell_from_path",
    "cells",
    "corpus_dir",
    "corpus_name",
    "corpus_spec",
    "experiment_spec",
    "is_yardstick",
    "left_out",
    "load",
    "method_spec",
    "mixes",
    "model_path",
    "needed",
    "possible",
    "priority",
    "recipe",
    "render",
    "reported",
    "resources",
    "run_dir",
    "settings",
    "start",
    "target",
    "validate",
]
