"""``restarted.py SECONDS ATTEMPTS OUTPUT...``: whether this Slurm job is a restart with nothing left to do.

A controller that was lost comes back with an older state: it may take a job that has ended for one that runs,
miss it on its node, and start it again, long after. Snakemake would first of all remove the outputs.

Exit status 0: all outputs are there, no older than SECONDS (since the epoch, when the job was submitted), and
whole: by the end of ATTEMPTS, the file of the job's attempts, or with ``-`` in its place as JSON.

It imports nothing of the suite, whose import would take longer than the question.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path


def is_there(output: Path, submitted: float, *, sentinel: bool) -> bool:
    """Whether an output was written after the submission; of a sentinel, also whether it is whole."""
    try:
        if sentinel:
            json.loads(output.read_text())
        return output.stat().st_mtime >= submitted
    except (OSError, ValueError):
        return False


def has_ended_well(attempts: Path) -> bool:
    """Whether the last that was written of a job's attempts is a good end."""
    try:
        last = json.loads(attempts.read_text().splitlines()[-1])
        return (last["event"], last["status"]) == ("end", 0)
    except (OSError, ValueError, LookupError, TypeError):
        return False


def main(words: Sequence[str]) -> int:
    """Answer for the job of this environment; 1: it has to run."""
    submitted, attempts, outputs = float(words[0]), words[1], [Path(word) for word in words[2:]]
    if not int(os.environ.get("SLURM_RESTART_COUNT") or 0):
        return 1
    if not all(is_there(output, submitted, sentinel=attempts == "-") for output in outputs):
        return 1
    if attempts != "-" and not has_ended_well(Path(attempts)):
        return 1
    print(f"started again by Slurm, and nothing is left to do: {', '.join(map(str, outputs))}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
