"""The end of a process that trained beside others: its interpreter is not taken down.

A process group's threads live on where DistributedDataParallel still holds the group. One that lets go of its
last tensor while the interpreter ends asks for a lock that is no more, and that aborts the process (PyTorch
2.14; its pull request 179291 tells of it): a run that has saved everything would be reported as failed.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

FAILED_AT_THE_END = 120
"""Python's own exit status where nothing else has failed."""


def run_and_leave(main: Callable[[], object]) -> NoReturn:
    """Run ``main``, and leave with the exit status that Python would have."""
    status = 0
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, int | None):
            status = end.code or 0
        else:
            print(end.code, file=sys.stderr)
            status = 1
    except BaseException:
        traceback.print_exc()
        status = 1
    leave(status)


def leave(status: int) -> NoReturn:
    """End this process with all that Python does before its interpreter ends, and without the rest.

    Pools of threads come to their end, exit functions run, output is flushed. A file that is still open loses
    what it has not written; destructors, and what libraries in C have registered, do not run.

    Args:
        status: its exit status.
    """
    steps: list[Callable[[], object]] = [
        threading._shutdown,  # type: ignore[attr-defined]
        atexit._run_exitfuncs,
        *(stream.flush for stream in (sys.stdout, sys.stderr) if stream is not None),
    ]
    for step in steps:
        try:
            step()
        except BaseException:
            status = status or FAILED_AT_THE_END
            with suppress(Exception):
                traceback.print_exc()
    os._exit(status)
