"""What a grid takes from the model hub: repositories at a revision, for its models and its corpora."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dataflex.grid.cells import Cell, GridError, settings

Kind = Literal["models", "datasets"]

MAIN = "main"
LAID_OUT = ("hub_instructions", "packed")
"""Sources of a corpus that is made from data sets of the hub, or from files that stand in for them."""
NAMED = "{model:"
"""Begins a placeholder for the folder of a model of the grid, as in ``{model:Qwen3-Embedding-0.6B}``."""


@dataclass(frozen=True)
class Asset:
    """A repository of the hub, or what a mirror or a directory holds in its place."""

    kind: Kind
    repo: str
    revision: str = MAIN
    """A commit, or ``main`` where none could be established: then the lock file decides."""
    licence: str | None = None
    gated: bool = False
    files: tuple[str, ...] = ()
    """Patterns of the files that are taken; none: what `dataflex.assets.choice` takes on its own."""
    sha256: Mapping[str, str] = field(default_factory=dict)
    """Checksums that are known from elsewhere, by file."""
    pickle: bool = False
    """Take weights that only exist as pickles."""

    @property
    def name(self) -> str:
        """``models/<org>/<name>`` or ``datasets/<org>/<name>``: its place in a cache and in a mirror."""
        return f"{self.kind}/{self.repo}"

    @property
    def pinned(self) -> bool:
        """Whether the grid names a commit."""
        return self.revision != MAIN


def _asset(kind: Kind, spec: Mapping[str, Any]) -> Asset:
    return Asset(
        kind,
        spec["repo"],
        spec.get("revision", MAIN),
        spec.get("licence"),
        spec.get("gated", False),
        tuple(spec.get("files", ())),
        spec.get("sha256", {}),
        spec.get("pickle", False),
    )


def _asked(grid: Mapping[str, Any]) -> Iterator[Asset]:
    for name in grid["models"]:
        yield from model_assets(grid, name)
    for name in grid["corpora"]:
        yield from corpus_assets(grid, name)


def assets(grid: Mapping[str, Any]) -> dict[str, Asset]:
    """Every repository that the grid takes, by ``models/...`` or ``datasets/...``.

    Raises:
        GridError: one is taken in two ways.
    """
    found: dict[str, Asset] = {}
    for asset in _asked(grid):
        if found.setdefault(asset.name, asset) != asset:
            raise GridError(f"{asset.name} is taken in two ways: give it the same `hub` everywhere")
    return found


def model_assets(grid: Mapping[str, Any], model: str) -> list[Asset]:
    """The repository of a model; none if it is built here or named for each job to find."""
    spec = grid["models"][model].get("hub")
    return [_asset("models", spec)] if spec else []


def corpus_parts(grid: Mapping[str, Any], corpus: str) -> dict[str, Asset]:
    """The data sets that a corpus is made from, by their part in it."""
    spec = grid["corpora"][corpus]
    parts = ("train", "validation", "questions", "text")
    return {part: _asset("datasets", spec[part]) for part in parts if isinstance(spec.get(part), Mapping)}


def corpus_assets(grid: Mapping[str, Any], corpus: str) -> list[Asset]:
    """The data sets that a corpus is made from."""
    return list(corpus_parts(grid, corpus).values())


def models_of(grid: Mapping[str, Any], cell: Cell) -> list[str]:
    """Models of the grid that a cell's job loads: its own and those that its config names."""
    return list(dict.fromkeys([cell.model, *_named(settings(grid, cell))]))


def _named(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _named(inner)
    elif isinstance(value, str) and value.startswith(NAMED) and value.endswith("}"):
        yield value.removeprefix(NAMED)[:-1]


def check_names(grid: Mapping[str, Any], label: str) -> None:
    """Check that tokenizers, placeholders and the preflight name models and corpora of the grid.

    Raises:
        GridError: naming the place.
    """
    assets(grid)
    places = [
        (f"corpora.{name}.tokenizer", spec["tokenizer"], "models")
        for name, spec in grid["corpora"].items()
        if "tokenizer" in spec
    ]
    for name, spec in grid.get("preflight", {}).get("scores", {}).items():
        places += [
            (f"preflight.scores.{name}", name, "models"),
            (f"preflight.scores.{name}.corpus", spec["corpus"], "corpora"),
        ]
        low, high = spec["band"]
        if not 0 <= low < high <= 1:
            raise GridError(
                f"{label}: preflight.scores.{name}.band: {low} and {high} are no band within 0 and 1"
            )
    for experiment in grid["experiments"]:
        places += [
            (f"experiments.{experiment}", name, "models") for name in experiment_models(grid, experiment)
        ]
    for place, named, kind in places:
        if named not in grid[kind]:
            raise GridError(f"{label}: {place}: {kind} has no {named!r}; there are {', '.join(grid[kind])}")


def experiment_models(grid: Mapping[str, Any], experiment: str) -> list[str]:
    """Models that some cell of an experiment trains or loads, in the order of the file."""
    spec = grid["experiments"][experiment]
    found: list[str] = []
    for method, entry in spec["methods"].items():
        for model in entry.get("models", spec["models"]):
            for scale in spec["scales"]:
                found += models_of(grid, Cell(experiment, method, model, scale, 0))
    return list(dict.fromkeys(found))
