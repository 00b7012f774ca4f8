"""The cells of a grid: one training run for every method, model, scale and seed, and what each asks for.

Everything here is a pure function of the grid file, so that a dry run, the jobs, the plan and the tests all
see the same cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dataflex.errors import UserError
from dataflex.grid.layers import merge
from dataflex.grid.site import ANYWHERE, Site


class GridError(UserError):
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


def needs(experiment: Mapping[str, Any], method: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
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
    return settings(grid, cell).get("train_type") == "dynamic_mix"


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


def needed(grid: Mapping[str, Any], cell: Cell) -> dict[str, Cell]:
    """The runs that this cell builds on, by role, with the cell's own model, scale and seed unless said."""
    found = {}
    for role, need in needs(experiment_spec(grid, cell), method_spec(grid, cell)).items():
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


def resources(grid: Mapping[str, Any], cell: Cell, job: str, site: Site = ANYWHERE) -> dict[str, Any]:
    """Resources of a ``train`` or ``evaluate`` job: the experiment's, overridden by scale, then by method.

    Keys: ``threads``, ``gpus`` (per node), ``nodes``, ``runtime`` (minutes), ``mem_mb``.

    Args:
        grid: see ``load``.
        cell: of the grid.
        job: ``train`` or ``evaluate``.
        site: the cluster; it changes how a job is laid over nodes, not how many GPUs train together.
    """
    spec, method = experiment_spec(grid, cell), method_spec(grid, cell)
    layers = [spec, spec["scales"][cell.scale], method]
    asked = merge(*(layer.get("resources", {}).get(job, {}) for layer in layers))
    return site.fitted({"threads": 1, "gpus": 0, "nodes": 1, "runtime": 60, "mem_mb": 3000, **asked})


def settings(grid: Mapping[str, Any], cell: Cell) -> dict[str, Any]:
    """The file's layers, later wins: model, experiment, scale, method, method at this scale."""
    spec, method = experiment_spec(grid, cell), method_spec(grid, cell)
    return merge(
        grid["models"][cell.model].get("config", {}),
        spec.get("config", {}),
        spec["scales"][cell.scale].get("config", {}),
        method.get("config", {}),
        method.get("at", {}).get(cell.scale, {}),
    )
