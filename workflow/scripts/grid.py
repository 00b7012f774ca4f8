"""The grid of a reproduction: a YAML file in, training cells and their LLaMA-Factory configs out.

Everything here is a pure function of the grid file, the rung's folder and the corpus's domains, so that a
dry run, the training jobs and the tests all see the same cells.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from simplex import centroids

SCHEMA = Path(__file__).resolve().parent.parent / "schemas" / "grid.schema.yaml"
PARTS = ("corpora", "models", "experiments")
DRAWN = ("planted", "markov")
"""Sources of a corpus of which every seed draws its own."""
SEED = re.compile(r"/seed(\d+)$")
PLACEHOLDER = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


class GridError(ValueError):
    """The grid file cannot be used; the message is one line that names the place and the remedy."""


@dataclass(frozen=True, order=True)
class Cell:
    """One training run of the grid."""

    experiment: str
    method: str
    model: str
    scale: str
    seed: int

    @property
    def name(self) -> str:
        """Name of the cell inside its experiment, for example ``loss.tiny.harvest.seed1``."""
        return f"{self.method}.{self.model}.{self.scale}.seed{self.seed}"

    @property
    def path(self) -> str:
        """``<experiment>/<cell name>``: the cell's place below ``train/``, ``configs/`` and ``results/``."""
        return f"{self.experiment}/{self.name}"

    def as_dict(self) -> dict[str, Any]:
        """The cell's coordinates as written to ``run.json``."""
        return {
            "experiment": self.experiment,
            "method": self.method,
            "model": self.model,
            "scale": self.scale,
            "seed": self.seed,
        }


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
            for role, need in _needs(spec, method_spec).items():
                other = grid["experiments"].get(need.get("experiment", experiment))
                if other is None or need["method"] not in other["methods"]:
                    raise GridError(f"{place}: needs.{role} names a method that the grid does not have")


def _needs(experiment: Mapping[str, Any], method: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Runs that a method builds on, by the role in which its config refers to them."""
    return {**experiment.get("needs", {}), **method.get("needs", {})}


def cells(
    grid: Mapping[str, Any],
    seeds: Iterable[int] | None = None,
    experiments: Iterable[str] | None = None,
    methods: Iterable[str] | None = None,
) -> list[Cell]:
    """Expand method x model x scale x seed, in the order of the file.

    ``seeds`` replaces the grid's own; ``experiments`` and ``methods`` keep a part of the grid. Runs that a
    kept cell needs are not added here: the workflow finds them through ``needed``.

    Raises:
        GridError: an asked experiment or method does not exist.
    """
    chosen = list(seeds) if seeds else list(grid["seeds"])
    wanted_experiments = list(experiments or grid["experiments"])
    wanted_methods = set(methods or ())
    known = {name for spec in grid["experiments"].values() for name in spec["methods"]}
    for name in wanted_experiments:
        if name not in grid["experiments"]:
            raise GridError(f"no experiment is called {name!r}; there are {', '.join(grid['experiments'])}")
    for name in sorted(wanted_methods - known):
        raise GridError(f"no method is called {name!r}; there are {', '.join(sorted(known))}")
    found = []
    for experiment in wanted_experiments:
        spec = grid["experiments"][experiment]
        for scale in spec["scales"]:
            for method, method_spec in spec["methods"].items():
                if wanted_methods and method not in wanted_methods:
                    continue
                for model in method_spec.get("models", spec["models"]):
                    found += [Cell(experiment, method, model, scale, seed) for seed in chosen]
    return found


def reported(grid: Mapping[str, Any], cell: Cell) -> bool:
    """Whether the cell is evaluated and shown; a helper run (``report: false``) is only trained."""
    return bool(method_spec(grid, cell).get("report", True))


def experiment_spec(grid: Mapping[str, Any], cell: Cell) -> dict[str, Any]:
    """The entry of the cell's experiment in the grid file."""
    return dict(grid["experiments"][cell.experiment])


def method_spec(grid: Mapping[str, Any], cell: Cell) -> dict[str, Any]:
    """The entry of the cell's method in the grid file."""
    return dict(grid["experiments"][cell.experiment]["methods"][cell.method])


def about(experiment: Mapping[str, Any]) -> str:
    """What is evaluated: the ``model``, the ``selection`` from a planted pool, a ``mixture`` of chains."""
    asked = experiment.get("evaluate")
    return asked if isinstance(asked, str) else "model"


def mixes(grid: Mapping[str, Any], cell: Cell) -> bool:
    """Whether the cell's training draws by domain, so that its shares can be drawn."""
    return _config(grid, cell).get("train_type") == "dynamic_mix"


def priority(grid: Mapping[str, Any], cell: Cell) -> int:
    """How early the cell is trained where processors are short; the method's own word comes first."""
    ordinary = 5 if about(experiment_spec(grid, cell)) == "model" else 0
    return int(method_spec(grid, cell).get("priority", ordinary))


def is_yardstick(grid: Mapping[str, Any], cell: Cell) -> bool:
    """Whether the cell is one of the static mixtures that its experiment measures regret against."""
    return bool(method_spec(grid, cell).get("yardstick", False))


def target(grid: Mapping[str, Any], cell: Cell) -> dict[str, Any]:
    """What the cell's selection is marked by: the classes it should pick, and which decision counts."""
    method = method_spec(grid, cell)
    return {"target": list(method["target"]), "decision": int(method.get("decision", -1))}


def corpus_name(grid: Mapping[str, Any], cell: Cell) -> str:
    """Name of the corpus that the cell trains and is evaluated on; of a drawn one each seed has its own."""
    name = str(experiment_spec(grid, cell)["scales"][cell.scale]["corpus"])
    return f"{name}/seed{cell.seed}" if grid["corpora"][name]["source"] in DRAWN else name


def corpus_spec(grid: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The grid's entry of a corpus, with the seed where its name has one."""
    seed = SEED.search(name)
    spec = dict(grid["corpora"][SEED.sub("", name)])
    return {**spec, "seed": int(seed[1])} if seed else spec


def needed(grid: Mapping[str, Any], cell: Cell) -> dict[str, Cell]:
    """The runs that this cell builds on, by role, with the cell's own model, scale and seed unless said."""
    found = {}
    for role, need in _needs(experiment_spec(grid, cell), method_spec(grid, cell)).items():
        found[role] = Cell(
            experiment=need.get("experiment", cell.experiment),
            method=need["method"],
            model=need.get("model", cell.model),
            scale=need.get("scale", cell.scale),
            seed=cell.seed,
        )
    return found


def start(grid: Mapping[str, Any], cell: Cell) -> Cell | None:
    """The run whose model this cell starts from, when it does not start from the model named in the grid."""
    return needed(grid, cell).get("start")


def cell_from_path(grid: Mapping[str, Any], path: str, seeds: Iterable[int] | None = None) -> Cell:
    """Inverse of ``Cell.path`` for a cell of this grid.

    Raises:
        GridError: the grid has no such cell.
    """
    for cell in cells(grid, seeds):
        if cell.path == path:
            return cell
    raise GridError(f"the grid has no cell {path!r}")


def run_dir(root: str, cell: Cell) -> str:
    """The cell's run directory below the rung's folder ``root``."""
    return f"{root}/train/{cell.path}"


def corpus_dir(grid: Mapping[str, Any], root: str, name: str) -> str:
    """Folder of a corpus: its own one when it was made elsewhere, else one below ``root``."""
    spec = corpus_spec(grid, name)
    return str(spec["path"]) if spec["source"] == "directory" else f"{root}/{name}"


def model_path(grid: Mapping[str, Any], root: str, model: str) -> str:
    """Where a model is loaded from: a hub name or path, or the folder that the ``model`` rule fills."""
    spec = grid["models"][model]
    return f"{root}/models/{model}" if "build" in spec else str(spec["name_or_path"])


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge mappings, later ones win; nested mappings are merged key by key."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
                merged[key] = merge(merged[key], value)
            else:
                merged[key] = copy.deepcopy(value)
    return merged


def render(grid: Mapping[str, Any], cell: Cell, root: str, domains: Iterable[str]) -> dict[str, Any]:
    """The cell's training config: LLaMA-Factory keys with the dataflex block, for ``dataflex-cli train``.

    What the cell itself decides (seed, folders, starting model) wins over the file. ``{name}`` in a string is
    replaced: ``root``, ``corpus``, ``model``, ``seed``, ``domains`` (the corpus's domains as LLaMA-Factory's
    comma list) and the roles under ``needs`` (their run directories).

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
    }
    config = merge(
        _config(grid, cell),
        {
            "model_name_or_path": model,
            "dataset_dir": corpus,
            "output_dir": run_dir(root, cell),
            "seed": cell.seed,
        },
    )
    return {key: _fill(value, values, f"{cell.path}: {key}") for key, value in sorted(config.items())}


def _config(grid: Mapping[str, Any], cell: Cell) -> dict[str, Any]:
    """The file's layers, later wins: model, experiment, scale, method, method at this scale."""
    spec, method = experiment_spec(grid, cell), method_spec(grid, cell)
    return merge(
        grid["models"][cell.model].get("config", {}),
        spec.get("config", {}),
        spec["scales"][cell.scale].get("config", {}),
        method.get("config", {}),
        method.get("at", {}).get(cell.scale, {}),
    )


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
        "model": grid["models"][cell.model],
        "experiment": spec.get("config", {}),
        "scale": spec["scales"][cell.scale],
        "method": {key: method[key] for key in ("config", "at", "needs") if key in method},
        "start": [other.path for other in needed(grid, cell).values()],
        "root": root,
        "seed": cell.seed,
    }
    return json.dumps(parts, sort_keys=True)


def resources(grid: Mapping[str, Any], cell: Cell, job: str) -> dict[str, Any]:
    """Resources of a ``train`` or ``evaluate`` job: the experiment's, overridden by scale, then by method.

    Keys: ``threads``, ``gpus`` (per node), ``nodes``, ``runtime`` (minutes), ``mem_mb``.
    """
    spec, method = experiment_spec(grid, cell), method_spec(grid, cell)
    layers = [spec, spec["scales"][cell.scale], method]
    asked = merge(*(layer.get("resources", {}).get(job, {}) for layer in layers))
    return {"threads": 1, "gpus": 0, "nodes": 1, "runtime": 60, "mem_mb": 3000, **asked}
