"""The processes of this host that write for a lock: its token stands in the environment of each.

Children of children, sessions of their own and what has lost its parent are found all the same.
"""

from __future__ import annotations

import contextlib
import signal
import time

import psutil
from leash import MARK, NAME

LOOK = 0.05


def of(token: str) -> list[psutil.Process]:
    """The processes that live and write for the lock with this token."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            # What was forked can't change its environment as others see it, and has the token as its name.
            marked = process.name()[:NAME] == token[:NAME] or process.environ().get(MARK) == token
            if marked and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def tell(token: str, number: int) -> None:
    """Send all of them a signal."""
    for process in of(token):
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)


def end(token: str, grace: float = 5.0) -> None:
    """End all of them, and return when none is left: one that can't be killed may still write."""
    tell(token, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while of(token):
        if time.monotonic() > deadline:
            tell(token, signal.SIGKILL)
        time.sleep(LOOK)
