"""The sums of a plan: hours and the longest chain as ranges, what stops at its limit, sizes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from rich.filesize import decimal

from dataflex.planning.jobs import OF_STEPS
from dataflex.planning.names import short_names, together
from dataflex.planning.words import counted, duration, span

GO_ON = ("train", OF_STEPS)
"""Kinds of jobs that go on where their limit has ended them."""


def totals(plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Heading and text of each line."""
    yield _hours(plan)
    yield _path(plan)
    yield _end(plan)
    yield from _stopped(plan)
    yield from _too_large(plan)
    disk, downloads = plan["disk_bytes"], plan["download_bytes"]
    yield f"disk {decimal(sum(disk.values()))}", _sizes(disk)
    yield f"to download {decimal(sum(downloads.values()))}", _sizes(downloads)


def _sizes(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {decimal(size)}" for name, size in sizes.items())


def _hours(plan: Mapping[str, Any]) -> tuple[str, str]:
    unit = plan["device"]["kind"]
    mark = "" if plan["device"]["measured"] else " (assumed, not measured)"
    parts = ", ".join(
        f"{name} {duration(hours)}" for name, hours in plan["device_hours_by_experiment"].items()
    )
    unknown = [
        f"{counted(row['jobs'], row['kind'])}, at most {duration(row['limit_hours'])} each and "
        f"{duration(row['limit_device_hours'])} of {unit} time together"
        for row in plan["kinds"]
        if not row["estimated"] and row["limit_device_hours"]
    ]
    heading = f"{span(plan['device_hours'], plan['device_hours_most'])} of {unit} time{mark}"
    if not unknown:
        return heading, parts
    known = f"estimated {duration(plan['device_hours'])}: {parts}; " if parts else ""
    return heading, f"{known}not estimated: {'; '.join(unknown)}"


def _path(plan: Mapping[str, Any]) -> tuple[str, str]:
    hours = {job["name"]: job for job in plan["jobs"]}
    names = {cell["cell"]: str(cell["cell"]) for cell in plan["cells"]}
    names |= {path: str(name) for path, name in short_names(plan["cells"]).items()}

    def said(job: str) -> str:
        kind, _, rest = job.partition(" ")
        words = names.get(rest, rest)
        shown = words if kind == "train" else f"{kind} {words}"
        limit = hours[job]["limit_hours"]
        return shown if hours[job]["estimated"] else f"{shown} (at most {duration(limit)})"

    return (
        f"critical path {span(plan['critical_path_hours'], plan['critical_path_hours_most'])}",
        " > ".join(map(said, plan["critical_path_most"])),
    )


def _end(plan: Mapping[str, Any]) -> tuple[str, str]:
    many, unit = plan["devices_at_a_time"], plan["device"]["kind"]
    on = f"{many} {unit}s" if many else f"as many {unit}s as it wants"
    left_out = ", ".join(f"{number} {kind}" for kind, number in plan["unbounded"].items())
    said = f"on {on}, queues aside"
    if left_out:
        said += f"; to this come {left_out}, whose time nobody knows"
    return f"all is done after {span(plan['makespan_hours'], plan['makespan_hours_most'])}", said


def _stopped(plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Jobs that are longer than their limit: of trainings that is how the workflow runs them."""
    late = [
        job for job in plan["jobs"] if job["limit_hours"] is not None and job["hours"] > job["limit_hours"]
    ]
    trained = [job for job in late if job["kind"] == "train"]
    if trained:
        cells = short_names(plan["cells"])
        parts: dict[str, list[str]] = {}
        for job in trained:
            name = cells[job["name"].partition(" ")[2]]
            times = math.ceil(job["hours"] / job["limit_hours"])
            parts.setdefault(f"{times} jobs of {duration(job['limit_hours'])}", []).append(str(name))
        number = sum(job["kind"] == "train" for job in plan["jobs"])
        yield (
            f"{len(trained)} of {counted(number, 'training')} "
            + ("takes" if len(trained) == 1 else "take")
            + " longer than the runtime that the grid asks for",
            "by design: each saves a checkpoint before its limit, is submitted again and goes on from there. "
            + "; ".join(f"{times}: {', '.join(names)}" for times, names in parts.items()),
        )
    others = [f"{job['name']} ({duration(job['limit_hours'])})" for job in late if job["kind"] not in GO_ON]
    if others:
        yield "longer than the runtime that they ask for, so that the cluster ends them", ", ".join(others)


def _too_large(plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    large = [cell for cell in plan["cells"] if cell["fits"] is False]
    if large:
        names = short_names(plan["cells"])
        by_experiment: dict[str, list[Any]] = {}
        for cell in large:
            by_experiment.setdefault(cell["experiment"], []).append(names[cell["cell"]])
        said = "; ".join(together(own) for own in by_experiment.values())
        yield f"{counted(len(large), 'cell')} do not fit into {plan['device']['memory_gb']:g} GB", said
