"""When jobs can run: the critical path, and how long some devices take for all of them."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from dataflex.errors import UserError
from dataflex.planning.supply import Job


def hours_to_the_end(jobs: Sequence[Job]) -> dict[str, float]:
    """Return the longest chain of hours from the start of each job to the end of all.

    Args:
        jobs: each after those that it needs.
    """
    left: dict[str, float] = {}
    after: dict[str, float] = {job.name: 0.0 for job in jobs}
    for job in reversed(jobs):
        left[job.name] = job.hours + after[job.name]
        for need in job.needs:
            after[need] = max(after[need], left[job.name])
    return left


def critical_path(jobs: Sequence[Job]) -> list[Job]:
    """Return the chain of jobs that takes longest, in its order: no number of devices is faster."""
    left = hours_to_the_end(jobs)
    waiting: dict[str, list[Job]] = {job.name: [] for job in jobs}
    for job in jobs:
        for need in job.needs:
            waiting[need].append(job)
    begins = [job for job in jobs if not job.needs]
    path: list[Job] = []
    while begins:
        path.append(max(begins, key=lambda job: left[job.name]))
        begins = waiting[path[-1].name]
    return path


def starts(jobs: Sequence[Job], devices: int | None = None) -> dict[str, float]:
    """Return when each job starts, in hours; of those that could, the one with the longest chain goes first.

    Args:
        jobs: each after those that it needs.
        devices: that are there at a time; None: as many as the jobs want.

    Raises:
        UserError: a job needs more devices than there are.
    """
    if devices is not None:
        for job in jobs:
            if job.devices > devices:
                raise UserError(
                    f"{job.name} needs {job.devices} devices at once, more than {devices}: raise --gpus"
                )
    left = hours_to_the_end(jobs)
    missing = {job.name: len(job.needs) for job in jobs}
    ready = [job for job in jobs if not job.needs]
    running: list[tuple[float, int, Job]] = []
    free, now, begun = devices, 0.0, dict[str, float]()
    while ready or running:
        for job in sorted(ready, key=lambda job: -left[job.name]):
            if free is None or job.devices <= free:
                begun[job.name] = now
                free = None if free is None else free - job.devices
                heapq.heappush(running, (now + job.hours, len(begun), job))
        ready = [job for job in ready if job.name not in begun]
        now, _, ended = heapq.heappop(running)
        free = None if free is None else free + ended.devices
        for job in jobs:
            if ended.name in job.needs:
                missing[job.name] -= 1
                if not missing[job.name]:
                    ready.append(job)
    return begun


def makespan(jobs: Sequence[Job], begun: Mapping[str, float]) -> float:
    """Return the hours until the last job has ended."""
    return max((begun[job.name] + job.hours for job in jobs), default=0.0)
