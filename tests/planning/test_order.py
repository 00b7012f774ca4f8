"""Critical path and makespan beside every chain of random graphs of jobs."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflex.errors import UserError
from dataflex.planning.order import critical_path, makespan, starts
from dataflex.planning.supply import Job


@st.composite
def graphs(draw: st.DrawFn) -> list[Job]:
    jobs: list[Job] = []
    for number in range(draw(st.integers(1, 8))):
        needs = draw(st.sets(st.sampled_from([job.name for job in jobs]))) if jobs else set()
        hours, devices = draw(st.integers(0, 5)), draw(st.integers(0, 4))
        jobs.append(Job(str(number), "train", tuple(sorted(needs)), devices, hours=float(hours)))
    return jobs


def chains(jobs: list[Job]) -> list[list[Job]]:
    """All chains of jobs that end in a job on which none waits, by brute force."""
    by_name = {job.name: job for job in jobs}

    def to(job: Job) -> list[list[Job]]:
        before = [chain for need in job.needs for chain in to(by_name[need])]
        return [[*chain, job] for chain in before or [[]]]

    return [chain for job in jobs for chain in to(job)]


@settings(deadline=None, max_examples=50)
@given(graphs())
def test_the_critical_path_is_the_longest_of_all_chains(jobs: list[Job]) -> None:
    path = critical_path(jobs)
    assert sum(job.hours for job in path) == max(sum(job.hours for job in chain) for chain in chains(jobs))
    assert all(before.name in job.needs for before, job in pairwise(path))


@settings(deadline=None, max_examples=50)
@given(graphs())
def test_with_devices_for_all_the_critical_path_is_what_it_takes(jobs: list[Job]) -> None:
    begun = starts(jobs)
    assert makespan(jobs, begun) == sum(job.hours for job in critical_path(jobs))


@settings(deadline=None, max_examples=50)
@given(graphs(), st.integers(4, 9))
def test_jobs_wait_for_what_they_need_and_for_devices(jobs: list[Job], devices: int) -> None:
    begun = starts(jobs, devices)
    by_name = {job.name: job for job in jobs}
    for job in jobs:
        assert all(begun[need] + by_name[need].hours <= begun[job.name] for need in job.needs)
        busy = [one for one in jobs if begun[one.name] <= begun[job.name] < begun[one.name] + one.hours]
        assert sum(one.devices for one in busy) <= devices
    least = sum(job.device_hours for job in jobs) / devices
    took = makespan(jobs, begun)
    assert took >= max(least, sum(job.hours for job in critical_path(jobs))) - 1e-9
    assert took <= sum(job.hours for job in jobs)


def test_a_job_that_never_gets_its_devices_is_refused() -> None:
    with pytest.raises(UserError, match="a needs 8 devices at once, more than 4: raise --gpus"):
        starts([Job("a", "train", devices=8)], 4)
