"""What a grid's folder is to hold in the end: cells, corpora and models, by its grid file or as found."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dataflex import grid as grids
from dataflex.errors import UserError
from dataflex.evidence.results import BY_STEP, FILES, Kind
from dataflex.watching.supplies import Supply, corpus_need, model_needs, release_needs, supplies
from dataflex.watching.tails import number

EVALUATIONS: Mapping[Kind, str] = {"model": "evaluate", "selection": "mark", "mixture": "measure"}
"""The workflow's rule that evaluates a cell, by what the cell is about."""
OF_STEPS = "evaluate_steps"
"""The rule that evaluates a cell's checkpoints."""
EFFICIENCY = "efficiency"
"""Folder of the benchmarks' logs, records and results."""


@dataclass(frozen=True)
class ExpectedCell:
    """One cell.

    Attributes:
        experiment: its experiment.
        name: its name inside of that.
        kind: what it is evaluated by.
        reported: whether it is evaluated at all.
        needs: what has to be there before it can be trained: corpora, models, the preflight and cells, by
            sentinel.
        steps: those whose checkpoints are evaluated too.
    """

    experiment: str
    name: str
    kind: Kind = "model"
    reported: bool = True
    needs: tuple[tuple[str, Path], ...] = ()
    steps: tuple[int, ...] = ()

    @property
    def path(self) -> str:
        """Its place below ``train`` and ``results``."""
        return f"{self.experiment}/{self.name}"

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files of its results."""
        return (*FILES[self.kind], *([BY_STEP] if self.steps else ()))


@dataclass(frozen=True)
class Expected:
    """All of a grid.

    Attributes:
        cells: in the order of the grid file, or of their names.
        corpora: sentinels by name.
        models: sentinels of the models that are made here, by name.
        grid: the grid file that says so; None if all is as found.
        note: why the grid file was not followed.
        benchmarks: names of the efficiency experiments' jobs.
        supplies: the jobs before the trainings; none where all is as found.
    """

    cells: tuple[ExpectedCell, ...]
    corpora: Mapping[str, Path]
    models: Mapping[str, Path]
    grid: Path | None = None
    note: str | None = None
    benchmarks: tuple[str, ...] = ()
    supplies: tuple[Supply, ...] = ()


def expected(root: Path, grid_file: Path | None = None) -> Expected:
    """Tell what a folder is to hold.

    Args:
        root: the rung's folder.
        grid_file: the grid file, with all that it says. None: the file and the part of it that the workflow
            noted in ``grid.json``; without that, what is found.

    Raises:
        UserError: the folder does not exist, or the grid file that was given can't be used.
    """
    if not root.is_dir():
        raise UserError(f"{root} is no folder: name the folder of a grid, for example runs/demo")
    if grid_file is not None:
        return of_grid(root, grid_file)
    asked = grids.read_note(root)
    if asked is None:
        return _found(root, "no grid.json and no --grid: the cells are those that are found on the disk")
    file = _nearest(root, Path(str(asked.get("grid"))))
    try:
        own = _names(asked, "own_files") or ()
        named, targets = (_names(asked, "experiments"), _names(asked, "methods")), grids.targets_of(asked)
        return of_grid(root, file, _seeds(asked), *named, own_files=own, targets=targets)
    except UserError as error:
        return _found(root, f"the cells are those that are found on the disk: {error}")


def of_grid(
    root: Path,
    file: Path,
    seeds: Iterable[int] | None = None,
    experiments: Iterable[str] | None = None,
    methods: Iterable[str] | None = None,
    *,
    own_files: Iterable[str] = (),
    targets: Mapping[str, Collection[str]] | None = None,
) -> Expected:
    """Tell what a part of a grid file asks for, with the cells that it builds on.

    Args:
        root: the rung's folder.
        file: the grid file.
        seeds: None: its own.
        experiments: None: all.
        methods: None: all.
        own_files: corpora that are made from the user's files.
        targets: names of the jobs that the command line asked for, by ``dataflex.grid.TARGETS``; None: all.

    Raises:
        UserError: the file can't be used, or has no such part.
    """
    grid = grids.load(file)
    pending = grids.cells(grid, seeds, experiments, methods)
    cells: dict[str, grids.Cell] = {}
    while pending:
        cell = pending.pop(0)
        if cell.path not in cells:
            cells[cell.path] = cell
            pending += grids.needed(grid, cell).values()
    if targets is not None:
        cells = {path: cell for path, cell in cells.items() if path in targets["trained"]}
    order = list(grid["experiments"])
    listed = sorted(cells.values(), key=lambda cell: order.index(cell.experiment))
    corpora, models = set(), {cell.model for cell in listed if "build" in grid["models"][cell.model]}
    for cell in listed:
        name = grids.corpus_name(grid, cell)
        corpora |= {name, grids.corpus_spec(grid, name).get("corpus", name)}
    corpora |= {corpus for model in models if (corpus := grid["models"][model]["build"].get("corpus"))}
    whole = Expected(
        tuple(_cell(grid, cell, root) for cell in listed),
        {name: _corpus(root, name) for name in sorted(corpora)},
        {name: _model(root, name) for name in sorted(models)},
        grid=file,
        benchmarks=() if targets is None and (experiments or methods) else _benchmarks(root, grid),
        supplies=supplies(grid, root, listed, tuple(own_files)),
    )
    return whole if targets is None else _looked_at(whole, targets)


def _looked_at(whole: Expected, targets: Mapping[str, Collection[str]]) -> Expected:
    """The same, with what is to be evaluated and measured of it."""
    cells = tuple(
        replace(
            cell,
            reported=cell.path in targets["evaluated"],
            steps=cell.steps if cell.path in targets["by_step"] else (),
        )
        for cell in whole.cells
    )
    measured = tuple(name for name in whole.benchmarks if name in targets["benchmarks"])
    return replace(whole, cells=cells, benchmarks=measured)


def _cell(grid: Mapping[str, Any], cell: grids.Cell, root: Path) -> ExpectedCell:
    corpus = grids.corpus_name(grid, cell)
    needs = dict([corpus_need(root, corpus), *model_needs(grid, root, grids.models_of(grid, cell))])
    needs |= release_needs(grid, root, cell)
    for other in grids.needed(grid, cell).values():
        needs[other.path] = root / "train" / f"{other.path}.done.json"
    about = grids.about(grids.experiment_spec(grid, cell))
    kind = next(kind for kind in FILES if kind == about)
    return ExpectedCell(
        cell.experiment,
        cell.name,
        kind,
        reported=grids.reported(grid, cell),
        needs=tuple(needs.items()),
        steps=grids.steps_to_evaluate(grid, cell),
    )


def _benchmarks(root: Path, grid: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of a grid's benchmarks; of those with the authors' code the ones that have left a trace."""
    every = grids.benchmarks(grid)
    possible, traces = grids.possible(every, {}), _traces(root)
    return tuple(job.name for job in every if job in possible or job.name in traces)


def _traces(root: Path) -> tuple[str, ...]:
    """Names of the benchmarks that have left something."""
    results = [file.stem for file in (root / "results" / EFFICIENCY).glob("*.*.*.json")]
    logs = [file.stem for file in (root / "logs" / EFFICIENCY).glob("*.*.*.log")]
    return tuple(sorted({*results, *logs}))


def _found(root: Path, note: str) -> Expected:
    """What lies in the folder."""
    patterns = {
        "train/*/*.done.json": ".done.json",
        "attempts/train/*/*.lock": ".lock",
        "train/*/*/manifest.json": "",
        "attempts/train/*/*.jsonl": ".jsonl",
        "jobs/train/*/*.json": ".json",
        "configs/*/*.yaml": ".yaml",
        "results/*/*/run.json": "",
    }
    paths = set()
    for pattern, ending in patterns.items():
        for file in root.glob(pattern):
            place = file if ending else file.parent
            paths.add((place.parent.name, place.name.removesuffix(ending)))
    corpora = {
        str(file.relative_to(root)).removesuffix(".ready.json"): file
        for pattern in ("*.ready.json", "*/seed*.ready.json")
        for file in root.glob(pattern)
    }
    models = {file.name.removesuffix(".ready.json"): file for file in root.glob("models/*.ready.json")}
    return Expected(
        tuple(ExpectedCell(*path, kind=_kind(root / "results" / "/".join(path))) for path in sorted(paths)),
        dict(sorted(corpora.items())),
        dict(sorted(models.items())),
        note=note,
        benchmarks=_traces(root),
    )


def _kind(results: Path) -> Kind:
    """What a cell is about, by the summary that it has; a model if it has none."""
    return next((kind for kind, names in FILES.items() if (results / names[0]).is_file()), "model")


def _nearest(root: Path, file: Path) -> Path:
    """A grid file from where the workflow was started: here, or one of the folders that hold the rung's."""
    places = [file, *(parent / file for parent in root.resolve().parents)]
    return next((place for place in places if place.is_file()), file)


def _names(asked: Mapping[str, Any], key: str) -> list[str] | None:
    given = asked.get(key)
    return [str(name) for name in given] if isinstance(given, list) else None


def _seeds(asked: Mapping[str, Any]) -> list[int] | None:
    given = asked.get("seeds")
    seeds = [number(seed) for seed in given] if isinstance(given, list) else []
    return [int(seed) for seed in seeds if seed is not None] or None


def _corpus(root: Path, name: str) -> Path:
    return root / f"{name}.ready.json"


def _model(root: Path, name: str) -> Path:
    return root / "models" / f"{name}.ready.json"
