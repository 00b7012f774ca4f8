"""What a job is for, as a word of its comment in Slurm, by which it is found again.

A record is written when ``sbatch`` has answered. An answer that is lost on its way, or a workflow that is
killed before it comes, leaves a job that no record names.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snakemake_executor_plugin_slurm.utils import get_job_wildcards

from snakemake_executor_plugin_slurm_cells.verdicts import Said, is_alive, word_about

SMALL = 2**20
"""Bytes below which an input is a sentinel or a config."""
LETTERS = 16
"""Of each hash."""
MARK = re.compile(rf"\bcells:([0-9a-f]{{{LETTERS}}}):([0-9a-f]{{{LETTERS}}})\b")


@dataclass(frozen=True)
class Mark:
    """What tells a job from all others.

    Attributes:
        place: hash of its outputs, wherever they are.
        digest: hash of what is done for them, and to what: another one is another job for the same outputs.
    """

    place: str
    digest: str

    def __str__(self) -> str:
        """As it stands in a comment."""
        return f"cells:{self.place}:{self.digest}"


def mark_of(job: Any) -> Mark | None:
    """The mark of Snakemake's job; None for a group of jobs and for one without outputs.

    Its digest is of its rule, its parameters, its sentinels and its config. An ancient input only releases
    the job: what it says is not what is done.

    Raises:
        OSError: an input can't be read.
    """
    outputs = [] if job.is_group() else sorted(str(Path(str(name)).absolute()) for name in job.output)
    if not outputs:
        return None
    digest = hashlib.sha256(f"{job.rule.name} {dict(job.params.items())}".encode())
    asked = [name for name in job.input if not getattr(name, "is_ancient", False)]
    for file in sorted({Path(str(name)) for name in asked}):
        if file.is_file() and file.stat().st_size < SMALL:
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    place = hashlib.sha256("\n".join(outputs).encode())
    return Mark(place.hexdigest()[:LETTERS], digest.hexdigest()[:LETTERS])


def comment_of(job: Any, mark: Mark) -> str:
    """A job's comment in Slurm, for people and with its mark."""
    return " ".join(filter(None, [f"rule_{job.name}", get_job_wildcards(job), str(mark)]))


def alive_at(place: str, words: Mapping[str, Said]) -> dict[str, str]:
    """Slurm's jobs that are alive and write some outputs, with the digests of what they do.

    Tasks of arrays are left out: all have the comment of the first.
    """
    found = {}
    for number, said in words.items():
        match = MARK.search(said.comment)
        if match and match[1] == place and is_alive(said) and number.isdigit():
            found[number] = match[2]
    return found


def choose(
    mark: Mark, words: Mapping[str, Said], record: Mapping[str, Any]
) -> tuple[str | None, dict[str, str]]:
    """The job of the queue that is to be waited for, and those that are to be cancelled, with the reason.

    Args:
        words: what the queue says.
        record: of the last submission, see ``records.write``; a site may rewrite comments.
    """
    digests = alive_at(mark.place, words)
    number, name = record.get("slurm_job"), record.get("name")
    said = word_about(number, words) if number else None
    if said is not None and said.name == name and is_alive(said):
        digests[number] = str(record.get("digest"))
    same = [number for number, digest in digests.items() if digest == mark.digest]
    # What runs is nearer to its end than what waits.
    waits = {number: number not in words or words[number].word != "RUNNING" for number in same}
    kept = min(same, key=lambda number: (waits[number], number), default=None)
    return kept, {
        number: "is there once more" if number in same else "does what is no longer asked"
        for number in digests
        if number != kept
    }
