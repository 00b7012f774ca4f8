"""Make a corpus, a model or results by some commands, as their only writer: cleared first, sealed last.

A workflow that was killed and started again, or a node that Slurm took for lost, can leave two jobs for one
folder. The second one waits for the first instead of removing its files while it writes them.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import seal
from hold import LOST, Hold, as_exit_status

NEXT = ";"


def split(words: Sequence[str]) -> list[list[str]]:
    """Commands that stand in one list of words, in their order."""
    commands: list[list[str]] = [[]]
    for word in words:
        if word == NEXT:
            commands.append([])
        else:
            commands[-1].append(word)
    return [command for command in commands if command]


def make(arguments: argparse.Namespace) -> int:
    """Make it once as the only writer; the exit status, ``LOST`` if another took over."""
    with Hold(arguments.lock, arguments.attempts) as hold:
        if arguments.clear is not None and arguments.clear.exists():
            shutil.rmtree(arguments.clear)
        hold.status = 0
        for command in split(arguments.command):
            if hold.run(command):
                print(f"error: {hold.reason}", file=sys.stderr)
                return hold.status
        if arguments.seal is None:
            return hold.status
        hold.status = 1
        kind, folder = arguments.seal[0], Path(arguments.seal[1])
        try:
            sealed = seal.KINDS[kind](folder, arguments.published)
        except seal.NotReadyError as error:
            hold.reason = str(error)
            print(f"error: {error}", file=sys.stderr)
            return hold.status
        if not hold.lost:
            seal.write(sealed, folder, arguments.output)
            hold.status = 0
        return hold.status


def main() -> None:
    """Command line: ``make.py --lock FILE --attempts FILE [--seal KIND DIR] ... -- COMMAND...``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", type=Path, required=True)
    parser.add_argument("--attempts", type=Path, required=True)
    parser.add_argument("--clear", type=Path, help="folder that an interrupted or outdated job has left")
    parser.add_argument("--seal", nargs=2, metavar=("KIND", "DIR"), help="what is validated at the end")
    parser.add_argument("--output", type=Path, help="the sentinel of what was validated")
    parser.add_argument("--published", nargs="*", default=[], help="where the data is to be had")
    parser.add_argument("command", nargs="*", help=f"what makes it; a {NEXT!r} stands between two commands")
    arguments = parser.parse_args()
    status = LOST
    # Who lost the lock waits for the one who has it now.
    while status == LOST:
        status = make(arguments)
    sys.exit(as_exit_status(status))


if __name__ == "__main__":
    main()
