"""A failure on one rank ends all of them with its message: none waits for a rank that will not come.

Ranks meet in collective operations. When one has failed, the others would wait there until the process
group gives up, half an hour later, unless a launcher on the same machine watches over all of them. So every
rank looks, beside its training, for word of a failure in the store through which the process group was made.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch.distributed as dist

from dataflex.collectives import store
from dataflex.errors import UserError

_FAILED = "dataflex/failed"
_HEARD = "dataflex/heard/"
"""Begins the key by which a rank says that it knows of the failure; its number follows."""
_LOOK = 0.5
"""Seconds between two looks into the store."""
_OWN_END = 3.0
"""Seconds in which a rank that has heard of a failure may end with an error of its own."""
_HEARING = 5.0
"""Seconds that the failed rank waits until the others have heard of it."""
_LEAVING = 10
"""Seconds that a failed rank may take to leave: destructors of process groups can wait for other ranks."""

Report = Callable[[UserError], bool]


@contextmanager
def ending_together(report: Report) -> Iterator[None]:
    """Run a block as one of several ranks: an exception of any rank ends this process, with its message.

    The exit status is 2 for a ``UserError``, else 1. With one process exceptions pass as they are,
    and so they do before the process group is made: until then only a launcher can tell the others.

    Args:
        report: hands a user's mistake to whoever started this process; tells whether there is one.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    listener = _Listener(report)
    listener.start()
    try:
        yield
    except Exception as error:
        listener.over.set()
        if not dist.is_initialized():
            raise
        status = _fail(error, listener.heard, report)
        signal.alarm(_LEAVING)
        sys.exit(status)
    finally:
        listener.over.set()
        # A thread that is within the store while the interpreter ends would abort the process.
        listener.join(timeout=_OWN_END)


class _Listener(threading.Thread):
    """Looks for word of another rank's failure until the block is over, and ends this process then."""

    def __init__(self, report: Report) -> None:
        super().__init__(daemon=True)
        self._report = report
        self.over = threading.Event()
        self.heard: dict[str, Any] | None = None
        """The failure that another rank has told of."""

    def run(self) -> None:
        # Without the store's host the run is at its end, or the process group tells of it.
        with suppress(RuntimeError, ValueError):
            self._listen()
        if self.heard is not None and not self.over.wait(_OWN_END):
            _tell(self.heard, self._report)
            sys.stdout.flush()
            os._exit(_status(self.heard))

    def _listen(self) -> None:
        shared = None
        while not self.over.wait(_LOOK):
            if shared is None and dist.is_initialized():
                # The other thread may wait in the store for long; a connection serves one at a time.
                shared = store()
                shared = shared.clone() if hasattr(shared, "clone") else shared
            if shared is not None and shared.check([_FAILED]):
                self.heard = json.loads(shared.get(_FAILED))
                shared.set(f"{_HEARD}{dist.get_rank()}", "")
                return


def _fail(error: Exception, heard: dict[str, Any] | None, report: Report) -> int:
    """Tell the first failure here, and one of this rank to the others; return the exit status."""
    user = isinstance(error, UserError)
    message = str(error) if user else f"{type(error).__name__}: {error}"
    own = {"rank": dist.get_rank(), "user": user, "message": message}
    first = own
    if heard is not None:
        first = heard
    else:
        with suppress(RuntimeError):  # without the store's host there is nobody to tell
            first = json.loads(store().compare_set(_FAILED, "", json.dumps(own)))
            store().set(f"{_HEARD}{dist.get_rank()}", "")
    if first != own:
        _tell(first, report)
        return _status(first)
    # Before the others end: a launcher that sees one end may end this one at once.
    _tell_own(error, report)
    with suppress(RuntimeError):
        stop = time.monotonic() + _HEARING
        every = [f"{_HEARD}{rank}" for rank in range(dist.get_world_size())]
        while not store().check(every) and time.monotonic() < stop:
            time.sleep(0.05)
    return _status(own)


def _status(failed: dict[str, Any]) -> int:
    return 2 if failed["user"] else 1


def _tell_own(error: Exception, report: Report) -> None:
    if not isinstance(error, UserError):
        traceback.print_exception(error)
    elif not report(error):
        print(f"dataflex-cli: {error}", file=sys.stderr)
    sys.stderr.flush()


def _tell(failed: dict[str, Any], report: Report) -> None:
    if not (failed["user"] and report(UserError(failed["message"]))):
        print(f"dataflex-cli: rank {failed['rank']} failed: {failed['message']}", file=sys.stderr, flush=True)
