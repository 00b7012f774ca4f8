"""``relay.py COMMAND``: run a step's command, and hand Slurm's notices on to the process that holds the cell.

Where Slurm tracks processes by control groups, a signal for a job, before its time limit or in the grace of a
preemption, reaches only what the step's daemon has started itself. That would be Snakemake, which waits for
its job and says nothing to it. A process that wants to be told leaves its number in the relay's folder.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from types import FrameType

FOLDER = "DATAFLEX_RELAY"
"""Names the folder to those that want to be told."""
HANDED_ON = (signal.SIGTERM, signal.SIGUSR2)
LOOK = 0.5
"""Seconds between two looks at the command, and at who is to be told."""


def listeners(folder: str) -> set[str]:
    """The numbers of those that live and want to be told."""
    living = set()
    for listener in os.listdir(folder):
        try:
            os.kill(int(listener), 0)
            living.add(listener)
        except ProcessLookupError:
            # Killed: it would have removed this itself.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, listener))
    return living


def main() -> None:
    """Run the command to its end."""
    heard: list[int] = []
    told: set[str] = set()

    def hear(number: int, frame: FrameType | None) -> None:
        heard.append(number)

    for name in HANDED_ON:
        signal.signal(name, hear)
    with tempfile.TemporaryDirectory(prefix="dataflex-") as folder:
        command = subprocess.Popen(["/bin/sh", "-c", sys.argv[1]], env={**os.environ, FOLDER: folder})
        # Not only the command: where Slurm tells every process of a step, its shell ends at once, and
        # with the relay the step would, while the cell's process still saves.
        while command.poll() is None or listeners(folder):
            with contextlib.suppress(subprocess.TimeoutExpired):
                command.wait(LOOK)
            if command.returncode is not None:
                time.sleep(LOOK)
            # Also who comes later is told: a notice may come while the cell's process is being started.
            for listener in listeners(folder) - told if heard else ():
                told.add(listener)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(listener), heard[0])
    sys.exit(command.returncode if command.returncode >= 0 else 128 - command.returncode)


if __name__ == "__main__":
    main()
