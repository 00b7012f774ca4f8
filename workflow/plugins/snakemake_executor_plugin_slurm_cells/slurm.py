"""Slurm's commands: ask what became of jobs and how the site is set up, cancel one."""

from __future__ import annotations

import getpass
import re
import shutil
import subprocess
from collections.abc import Collection

from snakemake_executor_plugin_slurm_cells.verdicts import Said, parse

TIMEOUT = 60
NEEDED = ("sbatch", "squeue", "scancel")


def missing() -> list[str]:
    """Commands that are not on the path, of those without which nothing can be submitted and watched."""
    return [name for name in NEEDED if shutil.which(name) is None]


def queue() -> dict[str, Said] | None:
    """What the queue knows of this user's jobs, ended ones as long as it remembers them; None: no answer."""
    words = ["squeue", "--noheader", "--array", "--states=all", "--user", getpass.getuser()]
    answer = _ask([*words, "--format=%i|%T|%j|%r|%k"])
    return None if answer is None else parse(answer)


def accounts(jobs: Collection[str]) -> dict[str, Said]:
    """What the accounting database knows of jobs: nothing where none is kept or it does not answer."""
    if not jobs:
        return {}
    words = ["sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID,State,JobName,Reason"]
    answer = _ask([*words, "--jobs", ",".join(sorted(jobs))])
    return parse(answer or "")


def node_timeout() -> int | None:
    """Seconds of silence after which Slurm takes a node for lost, none for never; None: no answer."""
    found = re.search(r"^SlurmdTimeout\s*=\s*(\d+)", _ask(["scontrol", "show", "config"]) or "", re.MULTILINE)
    return int(found[1]) if found else None


def cancel(job: str) -> None:
    """Cancel a job; one that is gone is no error."""
    _ask(["scancel", job])


def _ask(words: list[str]) -> str | None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
