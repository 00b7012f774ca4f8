"""What lies behind an ``ancient`` file is looked at, although the job that makes the file is to run again.

Snakemake passes over all that lies behind such a job, because it will run as well. Behind ancient files it
does not: what was never made there would not be made either, and the workflow end well (issue 4166 of
snakemake/snakemake).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from snakemake.dag import DAG

# Absent in a release that goes another way: then there is nothing to stand in for.
_whole: Any = getattr(DAG, "update_needrun", None)


def look_behind() -> None:
    """Have Snakemake do so in this process, however often it is asked."""
    if _whole is not None:
        DAG.update_needrun = _update_needrun


async def _update_needrun(dag: DAG, *words: Any, **options: Any) -> None:
    # On the instance it stands before the class's own, for as long as this takes.
    dag.bfs = _reruns
    try:
        await _whole(dag, *words, **options)
    finally:
        del dag.bfs


def _reruns(direction: Any, *jobs: Any, stop: Callable[[Any], bool] = lambda job: False) -> Iterator[Any]:
    """These jobs and those that run again because one of them does.

    ``DAG.bfs``, in whose place it stands, finds all that depend on them.
    """
    queue, seen = deque(jobs), set(jobs)
    while queue:
        job = queue.popleft()
        if stop(job):
            continue
        yield job
        for other, files in direction[job].items():
            if other not in seen and not all(file.is_ancient for file in files):
                seen.add(other)
                queue.append(other)
