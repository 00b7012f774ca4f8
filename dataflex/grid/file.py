"""Grid files: read with their parts, checked against the schema and against themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import yaml

from dataflex.grid.cells import GridError, about, cells, needs
from dataflex.grid.curves import steps_to_evaluate
from dataflex.grid.hub import check_names
from dataflex.grid.layers import merge
from dataflex.grid.simplex import centroids

SCHEMA = Path(__file__).with_name("schema.yaml")
PARTS = ("corpora", "models", "experiments")


def load(path: str | Path) -> dict[str, Any]:
    """Read a grid file with the parts that it includes, and validate it against the grid's schema.

    A part is a file beside it with further corpora, models and experiments.

    Raises:
        GridError: a file is missing, is not YAML, gives a name again, or breaks the schema or a
            cross-reference.
    """
    file = Path(path)
    grid = _read(file, "set `grid:` to a file in reproductions/")
    if isinstance(grid, dict) and isinstance(grid.get("include"), list):
        for name in grid["include"]:
            _add(grid, _read(file.parent / str(name), f"{file} includes it"), str(file.parent / str(name)))
    validate(grid, str(file))
    for name, spec in grid["experiments"].items():
        add_yardstick(spec, f"{file}: experiments.{name}")
    return dict(grid)


def add_yardstick(experiment: dict[str, Any], label: str) -> None:
    """Add the static mixtures that an experiment's ``yardstick`` stands for to its methods.

    Raises:
        GridError: they can't be made, or a method has the name of one.
    """
    design = experiment.get("yardstick")
    if design is None:
        return
    try:
        mixtures = centroids(design["over"], design["least"], design.get("without", []))
    except ValueError as error:
        raise GridError(f"{label}.yardstick: {error}") from None
    for name, proportions in mixtures.items():
        method = f"static_{name}"
        if method in experiment["methods"]:
            raise GridError(f"{label}.methods.{method}: the yardstick has this name")
        config = merge(design["config"], {"init_mixture_proportions": proportions})
        experiment["methods"][method] = {"config": config, "yardstick": True}


def _read(file: Path, remedy: str) -> Any:
    if not file.is_file():
        raise GridError(f"grid file {file} does not exist: {remedy}")
    try:
        return yaml.safe_load(file.read_text())
    except yaml.YAMLError as error:
        raise GridError(f"{file} is not valid YAML: {' '.join(str(error).split())}") from error


def _add(grid: dict[str, Any], part: Any, label: str) -> None:
    """Add the corpora, models and experiments of an included file."""
    if not isinstance(part, dict) or not set(part) <= set(PARTS):
        raise GridError(f"{label}: an included file holds {', '.join(PARTS)} and nothing else")
    for kind, entries in part.items():
        twice = sorted(set(entries) & set(grid.get(kind, {})))
        if twice:
            raise GridError(f"{label}: {kind}.{twice[0]} is in the grid already")
        grid[kind] = {**grid.get(kind, {}), **entries}


def validate(grid: Any, label: str = "grid") -> None:
    """Check a grid against its schema and check that every name it refers to exists.

    Raises:
        GridError: naming the offending place in the file.
    """
    schema = yaml.safe_load(SCHEMA.read_text())
    errors = sorted(jsonschema.Draft202012Validator(schema).iter_errors(grid), key=lambda e: list(e.path))
    if errors:
        place = ".".join(str(part) for part in errors[0].absolute_path) or "top level"
        raise GridError(f"{label}: {place}: {errors[0].message}")
    for corpus, corpus_spec in grid["corpora"].items():
        if corpus_spec.get("corpus", corpus) not in grid["corpora"]:
            raise GridError(
                f"{label}: corpora.{corpus}.corpus: no corpus is called {corpus_spec['corpus']!r}"
            )
    less = grid.get("efficiency", {}).get("less", {})
    for kind, table in (("model", "models"), ("corpus", "corpora")):
        if less and less[kind] not in grid[table]:
            raise GridError(f"{label}: efficiency.less.{kind}: no {kind} is called {less[kind]!r}")
    for experiment, spec in grid["experiments"].items():
        for scale, scale_spec in spec["scales"].items():
            if scale_spec["corpus"] not in grid["corpora"]:
                raise GridError(
                    f"{label}: experiments.{experiment}.scales.{scale}.corpus: no corpus is called "
                    f"{scale_spec['corpus']!r}; corpora are {', '.join(grid['corpora'])}"
                )
        if "baseline" in spec and spec["baseline"] not in spec["methods"]:
            raise GridError(
                f"{label}: experiments.{experiment}.baseline: no method is called {spec['baseline']!r}"
            )
        for method, method_spec in spec["methods"].items():
            place = f"{label}: experiments.{experiment}.methods.{method}"
            if ("target" in method_spec) != (about(spec) == "selection") and method_spec.get("report", True):
                raise GridError(
                    f"{place}: a target, the classes that the method should pick, belongs to every reported "
                    "method of an experiment with `evaluate: selection` and to no other"
                )
            for model in method_spec.get("models", spec["models"]):
                if model not in grid["models"]:
                    raise GridError(f"{place}: no model is called {model!r}")
            for scale in method_spec.get("at", {}):
                if scale not in spec["scales"]:
                    raise GridError(f"{place}: at.{scale}: no scale is called {scale!r}")
            for role, need in needs(spec, method_spec).items():
                other = grid["experiments"].get(need.get("experiment", experiment))
                if other is None or need["method"] not in other["methods"]:
                    raise GridError(f"{place}: needs.{role} names a method that the grid does not have")
    check_names(grid, label)
    for cell in cells(grid):
        try:
            steps_to_evaluate(grid, cell)
        except GridError as error:
            raise GridError(f"{label}: {error}") from None
