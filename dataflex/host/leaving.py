"""The end of a process that trained beside others: its interpreter is not taken down.

A process group's threads live on where DistributedDataParallel still holds the group. One that lets go of its
last tensor while the interpreter ends asks for a lock that is no more, and PyTorch (2.14; its issue 190489)
aborts the process: the launcher then reports a run as failed that has trained and saved everything.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from typing import NoReturn


def leave(status: int) -> NoReturn:
    """End this process as Python would, exit functions and all, but for the interpreter's own end.

    Args:
        status: its exit status.
    """
    try:
        # Both as Python does it: pools of threads end, and are waited for; then what was registered.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)
