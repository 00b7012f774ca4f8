"""Make a corpus, a model or results by some commands, as their only writer: cleared first, sealed last.

A workflow that was killed and started again, or a node that Slurm took for lost, can leave two jobs for one
folder. The second one waits for the first instead of removing its files while it writes them, and leaves
alone what the first has sealed in the meantime: others may build on it already.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import seal
from hold import Hold, are_there, persist
from prepare import remove, write_stamp

NEXT = ";"
FINISHED = ("packed/units/*.json", "packed/whole/units/*.json")
"""Records of a packed corpus's units, of the whole text and of the subset that is taken from it."""


def split(words: Sequence[str]) -> list[list[str]]:
    """Commands that stand in one list of words, in their order."""
    commands: list[list[str]] = [[]]
    for word in words:
        if word == NEXT:
            commands.append([])
        else:
            commands[-1].append(word)
    return [command for command in commands if command]


def make(arguments: argparse.Namespace, again: bool) -> int:
    """Make it once as the only writer; the exit status, ``LOST`` if another took over.

    Args:
        again: it was begun before, and another took over.
    """
    with Hold(arguments.lock, arguments.attempts, lambda: made(arguments)) as hold:
        # Snakemake removed the sentinel before this job began: now it is the other writer's.
        if ((hold.waited or again) and _is_made(arguments)) or (again and are_there(arguments.makes)):
            hold.status = 0
            return 0
        try:
            _clear(arguments)
        except OSError as error:
            if not hold.lost:
                hold.reason = str(error)
                print(f"error: {error}", file=sys.stderr)
            return hold.status
        hold.status = 0
        for command in split(arguments.command):
            if hold.run(command):
                print(f"error: {hold.reason}", file=sys.stderr)
                return hold.status
        if arguments.seal is None:
            return hold.status
        kind, folder = arguments.seal[0], Path(arguments.seal[1])
        return seal.close(
            hold, lambda: seal.KINDS[kind](folder, arguments.published), folder, arguments.output
        )


def made(arguments: argparse.Namespace) -> int | None:
    """How much an interrupted job goes on from: the finished units of a packed corpus; else nothing."""
    if arguments.seal is None or arguments.seal[0] != "packed" or arguments.clear is not None:
        return None
    return sum(len(list(Path(arguments.seal[1]).glob(finished))) for finished in FINISHED)


def _is_made(arguments: argparse.Namespace) -> bool:
    """Whether the sentinel is there, and was made by the same commands."""
    if arguments.output is None or not arguments.output.is_file():
        return False
    stamp = _stamp_file(arguments)
    return stamp.is_file() and stamp.read_text().strip() == _stamp(arguments)


def _clear(arguments: argparse.Namespace) -> None:
    """Clear away what an earlier job has left, its sentinel first: it must not stand beside half a folder."""
    if arguments.output is not None:
        arguments.output.unlink(missing_ok=True)
        write_stamp(_stamp_file(arguments), _stamp(arguments))
    if arguments.clear is not None:
        remove(arguments.clear)


def _stamp_file(arguments: argparse.Namespace) -> Path:
    """Beside the sentinel and not in it: what builds on that is not made again for another command."""
    output: Path = arguments.output
    return output.with_suffix(".stamp")


def _stamp(arguments: argparse.Namespace) -> str:
    words = [str(arguments.clear), arguments.seal, arguments.command]
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line: ``make.py --lock FILE --attempts FILE [--seal KIND DIR] ... -- COMMAND...``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", type=Path, required=True)
    parser.add_argument("--attempts", type=Path, required=True)
    parser.add_argument("--clear", type=Path, help="folder that an interrupted or outdated job has left")
    parser.add_argument("--seal", nargs=2, metavar=("KIND", "DIR"), help="what is validated at the end")
    parser.add_argument("--output", type=Path, help="the sentinel of what was validated")
    parser.add_argument("--makes", type=Path, nargs="+", default=[], help="what has no sentinel")
    parser.add_argument("--published", nargs="*", default=[], help="where the data is to be had")
    parser.add_argument("command", nargs="*", help=f"what makes it; a {NEXT!r} stands between two commands")
    return parser.parse_args(words)


def main() -> None:
    """Command line, see ``parse``."""
    arguments = parse()
    sys.exit(persist(lambda again: make(arguments, again)))


if __name__ == "__main__":
    main()
