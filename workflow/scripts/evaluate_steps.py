"""Evaluate the checkpoints of a run in one job, as the only writer; those that are evaluated already stay.

An evaluation writes its summary last, so that a job that was killed goes on with the first checkpoint that
has none. A stamp says what they are evaluations of: another run, corpus or protocol clears them away.
"""

from __future__ import annotations

import argparse
import hashlib
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import attempts
import seal
from hold import Hold, persist
from prepare import is_stamped, prepare, stamp_of

METRICS = "metrics.json"


def evaluate(arguments: argparse.Namespace, again: bool) -> int:
    """Evaluate what is left; the exit status, ``LOST`` if another took over.

    Args:
        again: it was begun before, and another took over.
    """
    folder: Path = arguments.folder
    # From the subcommand on: what stands before it is where the interpreter lies on this machine.
    asked = shlex.join(arguments.command[arguments.command.index("evaluate") :])
    run, *others = arguments.inputs
    stamp = hashlib.sha256(f"{stamp_of(run, others)} {asked}".encode()).hexdigest()
    with Hold(arguments.lock, arguments.attempts, lambda: evaluated(folder, arguments.steps)) as hold:
        if (hold.waited or again) and arguments.output.is_file() and is_stamped(folder, stamp):
            hold.status = 0
            return 0
        if prepare(folder, stamp):
            attempts.anew(arguments.attempts)
            attempts.began(arguments.attempts)
            print(
                f"{folder}: started anew, because the run, the corpus or the protocol has changed", flush=True
            )
        for step in arguments.steps:
            if evaluated(folder, [step]):
                continue
            output = ["--step", str(step), "--output", str(folder / str(step))]
            if hold.run([*arguments.command, *output]):
                print(f"error: step {step}: {hold.reason}", file=sys.stderr)
                return hold.status
        if not hold.lost:
            seal.write({"steps": arguments.steps}, folder, arguments.output)
            hold.status = 0
        return hold.status


def evaluated(folder: Path, steps: Sequence[int]) -> int:
    """How many of the steps are evaluated already."""
    return sum((folder / str(step) / METRICS).is_file() for step in steps)


def main() -> None:
    """Command line: ``evaluate_steps.py DIR --steps STEP... --inputs FILE... ... -- COMMAND...``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="gets a folder for each step")
    parser.add_argument("--steps", type=int, nargs="+", required=True)
    parser.add_argument("--inputs", type=Path, nargs="+", required=True, help="sentinels, the run's first")
    parser.add_argument("--output", type=Path, required=True, help="the sentinel")
    parser.add_argument("--lock", type=Path, required=True)
    parser.add_argument("--attempts", type=Path, required=True)
    parser.add_argument("command", nargs="+", help="what evaluates, to which step and folder are handed")
    arguments = parser.parse_args()
    sys.exit(persist(lambda again: evaluate(arguments, again)))


if __name__ == "__main__":
    main()
