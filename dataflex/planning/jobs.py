"""The jobs of a grid and what each waits for: those of the workflow, without Snakemake."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dataflex.grid import (
    DRAWN,
    Cell,
    about,
    corpus_name,
    corpus_spec,
    experiment_spec,
    needed,
    reported,
    resources,
)

EVALUATION = {"model": "evaluate", "selection": "mark", "mixture": "measure"}
"""Name of the job that looks at a trained cell, by what its experiment evaluates."""


@dataclass(frozen=True)
class Job:
    """One job."""

    name: str
    kind: str
    needs: tuple[str, ...] = ()
    devices: int = 0
    """GPUs over all nodes; of a grid without GPUs, processors. 0: an ordinary processor for a short while."""
    nodes: int = 1
    cell: Cell | None = None
    limit_hours: float | None = None
    """Time that the grid asks the cluster for; a longer job is ended."""
    hours: float = 0.0

    @property
    def device_hours(self) -> float:
        """Hours times devices."""
        return self.hours * self.devices


def with_needed(grid: Mapping[str, Any], cells: Iterable[Cell]) -> list[Cell]:
    """Return cells and all runs that they build on, each once; those that only serve others come last."""
    found: dict[str, Cell] = {}
    pending = list(cells)
    while pending:
        cell = pending.pop(0)
        if cell.path not in found:
            found[cell.path] = cell
            pending += needed(grid, cell).values()
    return list(found.values())


def uses_gpus(grid: Mapping[str, Any], cells: Sequence[Cell]) -> bool:
    """Whether any training asks for a GPU."""
    return any(resources(grid, cell, "train")["gpus"] for cell in cells)


def jobs_of(grid: Mapping[str, Any], cells: Sequence[Cell]) -> list[Job]:
    """Return the jobs for some cells and all that these need, each after those that it needs.

    Jobs that only copy or render small files are left out; see ``local_jobs``.

    Args:
        grid: see ``dataflex.grid.load``.
        cells: asked for; helper runs among them are not evaluated.
    """
    every = with_needed(grid, cells)
    gpus = uses_gpus(grid, every)
    found: dict[str, Job] = {}
    for cell in every:
        _add_corpus(grid, corpus_name(grid, cell), found)
        _add_model(grid, cell.model, found)
    for cell in _after_their_needs(grid, every):
        waits = [f"train {need.path}" for need in needed(grid, cell).values()]
        if f"model {cell.model}" in found:
            waits.append(f"model {cell.model}")
        waits.append(f"corpus {corpus_name(grid, cell)}")
        found[f"train {cell.path}"] = _of_cell(grid, cell, "train", "train", waits, gpus)
    asked = [cell for cell in cells if reported(grid, cell)]
    for cell in asked:
        kind = EVALUATION[about(experiment_spec(grid, cell))]
        found[f"{kind} {cell.path}"] = _of_cell(grid, cell, kind, "evaluate", [f"train {cell.path}"], gpus)
    ends = tuple(job.name for job in found.values() if job.kind in EVALUATION.values())
    found["report"] = Job("report", "report", ends)
    return list(found.values())


def local_jobs(jobs: Sequence[Job]) -> dict[str, int]:
    """Return how many small jobs run beside these where the workflow runs: configs and result files."""
    trained = sum(job.kind == "train" for job in jobs)
    seen = sum(job.kind in EVALUATION.values() for job in jobs)
    return {"render": trained, "collect": seen}


def with_hours(jobs: Sequence[Job], hours: Mapping[str, float]) -> list[Job]:
    """Return the jobs with their hours, by name; others take none."""
    return [replace(job, hours=hours.get(job.name, 0.0)) for job in jobs]


def _of_cell(
    grid: Mapping[str, Any], cell: Cell, kind: str, asked: str, waits: Sequence[str], gpus: bool
) -> Job:
    own = resources(grid, cell, asked)
    devices = own["gpus"] * own["nodes"] if gpus else own["threads"]
    return Job(
        f"{kind} {cell.path}",
        kind,
        tuple(dict.fromkeys(waits)),
        devices,
        own["nodes"],
        cell,
        own["runtime"] / 60,
    )


def _add_corpus(grid: Mapping[str, Any], name: str, found: dict[str, Job]) -> None:
    spec = corpus_spec(grid, name)
    waits: tuple[str, ...] = ()
    if spec["source"] in DRAWN and "corpus" in spec:
        _add_corpus(grid, spec["corpus"], found)
        waits = (f"corpus {spec['corpus']}",)
    found.setdefault(f"corpus {name}", Job(f"corpus {name}", "corpus", waits))


def _add_model(grid: Mapping[str, Any], name: str, found: dict[str, Job]) -> None:
    build = grid["models"][name].get("build")
    if build is None:
        return
    waits: tuple[str, ...] = ()
    if "corpus" in build:
        _add_corpus(grid, build["corpus"], found)
        waits = (f"corpus {build['corpus']}",)
    found.setdefault(f"model {name}", Job(f"model {name}", "model", waits))


def _after_their_needs(grid: Mapping[str, Any], cells: Sequence[Cell]) -> list[Cell]:
    """Cells in their order, but each after those that it builds on."""
    done: dict[str, Cell] = {}

    def add(cell: Cell) -> None:
        for need in needed(grid, cell).values():
            if need.path not in done:
                add(need)
        done.setdefault(cell.path, cell)

    for cell in cells:
        add(cell)
    return list(done.values())
