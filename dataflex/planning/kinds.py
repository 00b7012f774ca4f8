"""The jobs of a plan by kind, as ``snakemake -n`` counts them, and what is known of their time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dataflex.planning.supply import Job


def by_kind(jobs: Sequence[Job], small: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return a row for every kind of job, in the order in which the first of each can run.

    Args:
        jobs: with their hours; the report stands for the small jobs that make it.
        small: numbers of small jobs, by kind.
    """
    kinds = dict.fromkeys(job.kind for job in jobs if job.kind != "report")
    rows = [_row(kind, [job for job in jobs if job.kind == kind]) for kind in kinds]
    nothing = {"estimated": True, "device_hours": 0.0, "limit_hours": None, "limit_device_hours": None}
    return rows + [{"kind": kind, "jobs": number, **nothing} for kind, number in small.items()]


def _row(kind: str, jobs: Sequence[Job]) -> dict[str, Any]:
    """Jobs of one kind; the most that they can take follows from the time that the grid asks for."""
    limits = [job.limit_hours for job in jobs if job.limit_hours is not None]
    known = all(job.estimated for job in jobs)
    limited = len(limits) == len(jobs)
    most = sum((job.limit_hours or 0.0) * job.devices for job in jobs)
    return {
        "kind": kind,
        "jobs": len(jobs),
        "estimated": known,
        "device_hours": round(sum(job.device_hours for job in jobs), 3) if known else None,
        "limit_hours": max(limits) if limited else None,
        "limit_device_hours": round(most, 3) if limited else None,
    }
