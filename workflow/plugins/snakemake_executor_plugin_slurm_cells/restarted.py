"""``restarted.py SECONDS OUTPUT...``: whether this Slurm job is a restart that has nothing left to do.

A controller that was lost comes back with an older state: it may take a job that has ended for one that runs,
miss it on its node, and start it again, long after. Snakemake would first of all remove the outputs.

Exit status 0: all outputs are whole and no older than SECONDS (since the epoch, when the job was submitted).
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path


def is_there(output: Path, submitted: float) -> bool:
    """Whether a sentinel is whole, and was written after the submission."""
    try:
        json.loads(output.read_text())
        return output.stat().st_mtime >= submitted
    except (OSError, ValueError):
        return False


def main(words: Sequence[str]) -> int:
    """Answer for the job of this environment; 1: it has to run."""
    submitted, outputs = float(words[0]), [Path(word) for word in words[1:]]
    if int(os.environ.get("SLURM_RESTART_COUNT") or 0) and all(is_there(o, submitted) for o in outputs):
        print(f"started again by Slurm, and nothing is left to do: {', '.join(map(str, outputs))}")
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
