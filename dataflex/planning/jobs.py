"""The jobs of a grid and what each waits for: those of the workflow, without Snakemake."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dataflex.grid import (
    ANYWHERE,
    Benchmark,
    Cell,
    Site,
    about,
    benchmark_resources,
    benchmarks,
    corpus_name,
    experiment_spec,
    models_of,
    needed,
    possible,
    reported,
    resources,
    steps_to_evaluate,
)
from dataflex.grid import cells as all_cells
from dataflex.planning.supply import Job, Supply

EVALUATION = {"model": "evaluate", "selection": "mark", "mixture": "measure"}
"""Name of the job that looks at a trained cell, by what its experiment evaluates."""
OF_STEPS = "evaluate_steps"
"""Name of the job that evaluates a cell's checkpoints."""
MOMENTS = ("mark", "report")
"""Kinds of jobs that take no time that is worth counting."""


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
    """Whether any training asks for a GPU; beside benchmarks alone, any of the grid."""
    return any(resources(grid, cell, "train")["gpus"] for cell in cells or all_cells(grid))


def jobs_of(
    grid: Mapping[str, Any],
    cells: Sequence[Cell],
    *,
    with_benchmarks: bool = True,
    targets: Sequence[str] = (),
    site: Site = ANYWHERE,
) -> list[Job]:
    """Return the jobs for some cells and all that these need, each after those that it needs.

    Jobs that only copy or render small files are left out; see ``local_jobs``.

    Args:
        grid: see ``dataflex.grid.load``.
        cells: asked for; helper runs among them are not evaluated.
        with_benchmarks: with the efficiency experiments.
        targets: that the workflow is asked for by name; its report is made where there are none.
        site: the cluster that they run on.
    """
    every = with_needed(grid, cells)
    gpus = uses_gpus(grid, every)
    found: dict[str, Job] = {}
    supply = Supply(grid, found, gpus, site)
    for cell in _after_their_needs(grid, every):
        waits = [f"train {need.path}" for need in needed(grid, cell).values()]
        waits += [job for name in models_of(grid, cell) for job in supply.model(name)]
        waits += [supply.corpus(corpus_name(grid, cell)), *supply.release(cell)]
        found[f"train {cell.path}"] = _of_cell(grid, cell, "train", "train", waits, gpus, site)
    for cell in [cell for cell in cells if reported(grid, cell)]:
        kind = EVALUATION[about(experiment_spec(grid, cell))]
        waits = [f"train {cell.path}"]
        found[f"{kind} {cell.path}"] = _of_cell(grid, cell, kind, "evaluate", waits, gpus, site)
        if steps := steps_to_evaluate(grid, cell):
            one = _of_cell(grid, cell, OF_STEPS, "evaluate", waits, gpus, site)
            # The time of one for each, no more than the cluster gives: a job goes on where that ended it.
            minutes = resources(grid, cell, "evaluate")["runtime"] * len(steps)
            found[one.name] = replace(one, limit_hours=site.minutes(minutes) / 60)
    if with_benchmarks:
        for benchmark in possible(benchmarks(grid), {}):
            if site.fits(benchmark.gpus):
                _add_benchmark(grid, benchmark, supply, found, gpus, site)
    last = {*EVALUATION.values(), OF_STEPS, "benchmark"}
    if not targets:
        seen = tuple(job.name for job in found.values() if job.kind in last)
        found["report"] = Job("report", "report", seen)
    return list(found.values())


def local_jobs(grid: Mapping[str, Any], jobs: Sequence[Job], targets: Sequence[str] = ()) -> dict[str, int]:
    """Return how many small jobs run beside these where the workflow runs, by the workflow's rules.

    Args:
        grid: see ``dataflex.grid.load``.
        jobs: of the grid, or of its part.
        targets: that the workflow is asked for by name; without any it makes its report.
    """
    kinds = [job.kind for job in jobs]
    seen = sum(kind in EVALUATION.values() for kind in kinds)
    found = {
        "render": kinds.count("train"),
        "collect": seen,
        "by_step": kinds.count(OF_STEPS),
        "efficiency_tables": int("benchmark" in kinds),
    }
    if targets:
        # A cell is asked for by its files, for which there is no rule.
        found |= {name: 1 for name in targets if "/" not in name}
    else:
        found |= _of_report(grid, seen)
    return {kind: number for kind, number in found.items() if number}


def _of_report(grid: Mapping[str, Any], seen: int) -> dict[str, int]:
    """The jobs that show what was seen of some cells, by the workflow's rules."""
    return {
        "tables": int(seen > 0),
        "figures": int(seen > 0),
        "page": int(seen > 0),
        "check": int(seen > 0 and Path(grid.get("reference", "")).is_file()),
        "all": 1,
    }


def with_hours(jobs: Sequence[Job], hours: Mapping[str, float]) -> list[Job]:
    """Return the jobs with their hours, by name; those of others are not estimated."""
    return [
        replace(job, hours=hours.get(job.name, 0.0), estimated=job.name in hours or job.kind in MOMENTS)
        for job in jobs
    ]


def _of_cell(
    grid: Mapping[str, Any],
    cell: Cell,
    kind: str,
    asked: str,
    waits: Sequence[str],
    gpus: bool,
    site: Site,
) -> Job:
    own = resources(grid, cell, asked, site)
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


def _add_benchmark(
    grid: Mapping[str, Any],
    one: Benchmark,
    supply: Supply,
    found: dict[str, Job],
    gpus: bool,
    site: Site,
) -> None:
    """Add a benchmark and what it runs on; nothing else runs on its node."""
    spec, asked = grid["efficiency"][one.method], benchmark_resources(grid, one)
    waits = []
    if one.side != "ours":
        waits.append("upstream")
        found.setdefault("upstream", Job("upstream", "upstream"))
    if one.method == "less":
        waits += [supply.corpus(spec["corpus"]), *supply.model(spec["model"])]
    devices = site.alone(one.gpus) if gpus else asked["threads"]
    name = f"benchmark {one.name}"
    limit = site.minutes(asked["runtime"]) / 60
    found[name] = Job(name, "benchmark", tuple(waits), devices, limit_hours=limit)


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
