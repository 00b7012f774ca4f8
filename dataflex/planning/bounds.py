"""The most that jobs can take: of those whose hours nobody knows, the time that they ask the cluster for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from dataflex.planning.supply import Job

ORIGINS = ("train", "corpus", "model")
"""Kinds of jobs that are worth naming as what another one waits for."""


def bounded(jobs: Sequence[Job], done: Collection[str] = ()) -> list[Job]:
    """The same jobs with the most hours that each can take.

    A job with an estimate keeps it. One without takes its limit, or nothing where it has none: see
    ``unbounded``.

    Args:
        jobs: with their hours.
        done: names of jobs whose output is there already.
    """
    return [job if job.estimated else replace(job, hours=_most(job, done)) for job in jobs]


def _most(job: Job, done: Collection[str]) -> float:
    return 0.0 if job.name in done else job.limit_hours or 0.0


def unbounded(jobs: Sequence[Job]) -> list[Job]:
    """Jobs that have neither an estimate nor a limit: no sum and no chain holds anything of them."""
    return [job for job in jobs if not job.estimated and job.limit_hours is None]


def awaited(jobs: Sequence[Job], begun: Mapping[str, float]) -> dict[str, str | None]:
    """What each job waits for longest: a training, or what is made before it; None where it begins at once.

    Args:
        jobs: each after those that it needs, with the most hours that they can take.
        begun: when each starts, with devices for all.
    """
    by_name = {job.name: job for job in jobs}
    found: dict[str, str | None] = {}
    for job in jobs:
        ends = {need: begun[need] + by_name[need].hours for need in job.needs}
        last = max(ends, key=lambda need: ends[need], default=None)
        if last is None or not ends[last]:
            found[job.name] = None
        else:
            found[job.name] = last if by_name[last].kind in ORIGINS and by_name[last].hours else found[last]
    return found
