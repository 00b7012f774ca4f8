"""``limit.py DURATION -- COMMAND...``: run a command, and interrupt it as Ctrl-C would when its time is over.

Unlike coreutils' ``timeout`` it leaves the command in the terminal's process group, where Ctrl-C reaches it,
and it is there on macOS, too.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType

import psutil
from hold import as_exit_status

SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
OVER = 124
"""Exit status when the time was over, as ``timeout`` has it."""


def duration(text: str) -> float:
    """Seconds of ``90``, ``30m`` or ``1.5h``.

    Raises:
        argparse.ArgumentTypeError: it is none of these.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration such as 90, 30m or 8h")
    return float(match[1]) * SECONDS[match[2]]


def run(command: Sequence[str], seconds: float) -> int:
    """Run a command to its end; its exit status, or ``OVER`` if it had to be interrupted."""
    # Ctrl-C is for the command, which may take a while to stop. A handler: what is ignored stays so in it.
    signal.signal(signal.SIGINT, lambda number, frame: None)
    child = subprocess.Popen(command)

    def hand_on(number: int, frame: FrameType | None) -> None:
        child.send_signal(number)

    signal.signal(signal.SIGTERM, hand_on)
    try:
        return as_exit_status(child.wait(seconds))
    except subprocess.TimeoutExpired:
        interrupt(child.pid)
        child.wait()
        return OVER


def interrupt(pid: int) -> None:
    """Interrupt a process and those of its descendants that the terminal would: their group is this one's."""
    # What has a group of its own is told by whoever gave it one.
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.Error, OSError):
                if os.getpgid(one.pid) == os.getpgrp():
                    one.send_signal(signal.SIGINT)


def main() -> None:
    """Command line, see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("duration", type=duration, help="such as 90 (seconds), 30m or 8h")
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    sys.exit(run(arguments.command, arguments.duration))


if __name__ == "__main__":
    main()
