"""The plan of a grid, put together: JSON types in which nothing was downloaded, built or loaded."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dataflex.grid import ANYWHERE, Cell, Site, benchmarks, left_out, load, needed, read_site, reported
from dataflex.planning.bounds import awaited, bounded, unbounded
from dataflex.planning.budget import Candidate, propose
from dataflex.planning.calibration import Device
from dataflex.planning.comparisons import Comparison
from dataflex.planning.corpora import Corpus
from dataflex.planning.jobs import local_jobs
from dataflex.planning.kinds import by_kind
from dataflex.planning.order import critical_path, makespan, starts
from dataflex.planning.runs import Part, Run, Runs
from dataflex.planning.supply import Job
from dataflex.planning.typed import commands
from dataflex.planning.words import counted
from dataflex.planning.work import is_packed

MEMORY_UNKNOWN = "whether cells fit is not told: nothing says what memory the GPU has; give --gpu-memory-gb"


def candidates(runs: Runs, jobs: Sequence[Job], found: Sequence[Comparison]) -> list[Candidate]:
    """The cells of a plan, as the budget sees them."""
    hours: dict[tuple[str, str], float] = {}
    for job in jobs:
        if job.cell is not None:
            place = ("train" if job.kind == "train" else "look", job.cell.path)
            hours[place] = hours.get(place, 0.0) + job.device_hours
    seeds = list(dict.fromkeys(cell.seed for cell in runs.asked))
    compared = {(one.experiment, one.method, one.model, one.scale): one for one in found}
    asked = {cell.path for cell in runs.asked}
    result = []
    for cell in runs.every:
        comparison = compared.get((cell.experiment, cell.method, cell.model, cell.scale))
        served = [
            other.path
            for other in runs.asked
            for one in [compared.get((other.experiment, other.method, other.model, other.scale))]
            if one and _beside(other, cell) and one.baseline == cell.method
        ]
        result.append(
            Candidate(
                path=cell.path,
                hours=hours["train", cell.path],
                looked_at=hours.get(("look", cell.path), 0.0),
                needs=tuple(need.path for need in needed(runs.grid, cell).values()),
                asked=cell.path in asked and reported(runs.grid, cell),
                hopeless=comparison is not None and comparison.verdict == "could not",
                seed=seeds.index(cell.seed),
                serves=tuple(served),
            )
        )
    return result


def _beside(one: Cell, other: Cell) -> bool:
    return (one.experiment, one.model, one.scale, one.seed) == (
        other.experiment,
        other.model,
        other.scale,
        other.seed,
    )


def grid_plan(
    file: Path,
    part: Part,
    device: Device,
    *,
    why: str | None = None,
    root: str | None = None,
    devices: int | None = None,
    memory_gb: float | None = None,
    budget: float | None = None,
    profile: Path | None = None,
) -> dict[str, Any]:
    """Return the plan of a grid file as JSON types.

    Args:
        file: see ``dataflex.grid.load``.
        part: of the grid.
        device: what the jobs run on.
        why: it was taken, for people.
        root: the rung's folder; None: the one of the workflow.
        devices: that are there at a time, for the makespan; None: as many as the jobs want.
        memory_gb: of a GPU; None: what the device is known to have.
        budget: device-hours; None: no proposal.
        profile: of the cluster, for what it gives a job; None: what the grid asks for.
    """
    grid = load(file)
    site = read_site(profile) if profile is not None else ANYWHERE
    runs = Runs(grid, part, root or f"runs/{grid['rung']}", site)
    jobs, found = runs.jobs(device), runs.comparisons()
    kinds = by_kind(jobs, local_jobs(grid, jobs, runs.targets))
    begun = starts(jobs, devices)
    path = critical_path(jobs)
    # Of hours that nobody knows, no sum is one number: with the limits of such jobs each is a range.
    most = bounded(jobs, {f"corpus {name}" for name, corpus in runs.corpora.items() if corpus.there})
    begun_most, path_most = starts(most, devices), critical_path(most)
    waited = awaited(most, starts(most))
    memory = memory_gb if memory_gb is not None else device.memory_gb
    content: dict[str, Any] = {
        "grid": str(file),
        "rung": grid["rung"],
        "seeds": sorted({cell.seed for cell in runs.every}),
        "device": {
            "name": device.device,
            "kind": "GPU" if runs.on_gpus else "processor",
            "measured": device.measured,
            "says": device.says(),
            "errors": device.errors,
            "memory_gb": memory,
        },
        "counts": {row["kind"]: row["jobs"] for row in kinds},
        "kinds": kinds,
        "jobs": [
            {
                "order": number,
                "name": job.name,
                "kind": job.kind,
                "needs": list(job.needs),
                "devices": job.devices,
                "nodes": job.nodes,
                "start_hours": round(begun[job.name], 4),
                "start_hours_most": round(begun_most[job.name], 4),
                "waits_for": waited[job.name],
                "hours": round(job.hours, 4),
                "device_hours": round(job.device_hours, 4),
                "limit_hours": job.limit_hours,
                "estimated": job.estimated,
            }
            for number, job in enumerate(sorted(jobs, key=lambda job: begun[job.name]), start=1)
        ],
        "cells": [_cell(one, runs, memory) for one in runs.runs.values()],
        "corpora": {name: _corpus(corpus) for name, corpus in runs.corpora.items()},
        "device_hours": round(sum(job.device_hours for job in jobs), 3),
        "device_hours_most": round(sum(job.device_hours for job in most), 3),
        "device_hours_by_experiment": _by_experiment(jobs),
        "critical_path": [job.name for job in path if job.hours],
        "critical_path_hours": round(sum(job.hours for job in path), 3),
        "critical_path_most": [job.name for job in path_most if job.hours],
        "critical_path_hours_most": round(sum(job.hours for job in path_most), 3),
        "devices_at_a_time": devices,
        "makespan_hours": round(makespan(jobs, begun), 3),
        "makespan_hours_most": round(makespan(most, begun_most), 3),
        "unbounded": dict(Counter(job.kind for job in unbounded(jobs))),
        "disk_bytes": runs.disk(),
        "download_bytes": runs.downloads(),
        "comparisons": [one.as_dict() for one in found],
        "assumed": [
            *([f"device: {why}"] if why else []),
            *_assumed(runs, device, kinds),
            *([MEMORY_UNKNOWN] if runs.on_gpus and memory is None else []),
            *_of_site(site, profile),
        ],
    }
    if budget is not None:
        beside = [job for job in most if job.cell is None]
        proposal = _budget(candidates(runs, jobs, found), budget, beside)
        typed = commands(runs, proposal["keep"], file, profile) if proposal["drop"] else []
        content["budget"] = {**proposal, "commands": typed}
    return content


def _cell(one: Run, runs: Runs, memory_gb: float | None) -> dict[str, Any]:
    return {
        "cell": one.cell.path,
        **one.cell.as_dict(),
        "asked": one.cell in runs.asked and reported(runs.grid, one.cell),
        "parameters": one.model.parameters,
        "steps": one.work.steps,
        "batch_rows": one.work.batch_rows,
        "tokens": one.work.tokens,
        "tokens_exact": is_packed(one.config),
        "passes": [
            {"what": each.what, "times": each.times, "flops": float(f"{each.flops:.4g}")}
            for each in one.work.passes
        ],
        "flops": float(f"{one.work.flops:.4g}"),
        "domains": [asdict(domain) for domain in one.domains],
        "decided": one.decided,
        "memory_bytes": one.memory.as_dict(),
        "fits": None if memory_gb is None else one.memory.peak <= memory_gb * 1e9,
        "disk_bytes": one.disk_bytes,
        "unknown": list(one.work.unknown),
    }


def _corpus(corpus: Corpus) -> dict[str, Any]:
    return {"says": corpus.says, "there": corpus.there, "exact": corpus.exact, "tokens": corpus.tokens}


def _by_experiment(jobs: Sequence[Job]) -> dict[str, float]:
    found: dict[str, float] = {}
    for job in jobs:
        place = job.cell.experiment if job.cell is not None else job.kind
        if job.cell is not None or job.device_hours:
            found[place] = found.get(place, 0.0) + job.device_hours
    return {name: round(hours, 3) for name, hours in found.items()}


def _assumed(runs: Runs, device: Device, kinds: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the numbers rest on, beside the grid itself."""
    found = [f"hours: {device.device}, {device.says()}"]
    unknown = [f"{row['jobs']} {row['kind']}" for row in kinds if not row["estimated"]]
    if unknown:
        found.append(
            f"hours not estimated: {', '.join(unknown)}; upper ends take the time that each asks the cluster "
            "for, where it asks for one"
        )
    if any(row["kind"] == "preflight_score" and row["estimated"] for row in kinds):
        found.append("hours of preflight_score: each example in a prompt as long as a question")
    if runs.with_benchmarks:
        found += left_out(benchmarks(runs.grid), {})
    least, most = device.parameters or (0, math.inf)
    if not all(least <= one.model.parameters <= most for one in runs.runs.values()):
        found.append(
            f"hours of models outside of the measured {least:,} to {most:,} parameters are extrapolated"
        )
    found += [f"corpus {name}: {corpus.says}" for name, corpus in runs.corpora.items()]
    if runs.runs:
        found.append(
            "memory: arithmetic from the model's sizes, not measured; allocators' reserves are left out"
        )
    found.append("disk and downloads: weights in half precision")
    lacking: dict[str, list[str]] = {}
    for path, one in runs.runs.items():
        for what in dict.fromkeys(one.work.unknown):
            lacking.setdefault(what, []).append(path)
    found += [
        f"not counted, because nobody knows {what}: {', '.join(paths)}" for what, paths in lacking.items()
    ]
    kept = [path for path, one in runs.runs.items() if "save_total_limit" not in one.config]
    kept = [path for path in kept if runs.runs[path].config.get("save_strategy") != "no"]
    if kept:
        found.append(
            f"no save_total_limit in {counted(len(kept), 'cell')}, so that all checkpoints of theirs are kept"
        )
    if runs.asked and len({cell.seed for cell in runs.asked}) == 1:
        found.append("one seed: what training with another one would change is not covered by any comparison")
    return found


def _of_site(site: Site, profile: Path | None) -> list[str]:
    """What is taken from a profile."""
    if profile is None:
        return []
    node = f"nodes of {site.gpus_per_node} GPUs" if site.gpus_per_node else "nodes as the grid asks for them"
    longest = f"jobs of {site.longest} minutes at most" if site.longest else "jobs as long as the grid asks"
    return [f"the cluster of {profile}: {node}, {longest}; a benchmark has its node for itself"]


def _budget(found: Sequence[Candidate], budget: float, beside: Sequence[Job]) -> dict[str, Any]:
    proposal = propose(found, budget)
    return {
        "beside_device_hours_most": round(sum(job.device_hours for job in beside), 3),
        "asked_device_hours": budget,
        "device_hours": round(proposal.hours, 3),
        "drop": [{"cell": path, "because": why} for path, why in proposal.dropped],
        "keep": list(proposal.asked),
        "train": list(proposal.kept),
    }
