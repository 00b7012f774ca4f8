"""``leash.py PID COMMAND...``: run a command that the kernel kills when process PID, its parent, is gone.

A program of its own and no function that runs between fork and exec: whoever starts it has threads.
"""

import ctypes
import os
import signal
import sys

MARK = "DATAFLEX_WRITER"
"""Variable of what is started for a lock: the lock's token, see ``writers``."""
NAME = 15
"""Letters that Linux keeps of the name of a process."""
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel, then become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # It may have died before the kernel was asked.
    if os.getppid() != parent:
        sys.exit(f"{command[0]} is not started: process {parent}, which wanted it, is gone")
    # Python ignores these, and what is ignored stays so in the command.
    for name in ("SIGPIPE", "SIGXFSZ"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"{command[0]} can't be started: {error.strerror}", file=sys.stderr)
        sys.exit(127)


if __name__ == "__main__":
    main()
