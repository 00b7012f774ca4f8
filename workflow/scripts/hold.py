"""Do a job of a cell as its only writer: lock, note the attempt, hand signals on, tell how it ended."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import attempts
import psutil
from lock import Lock

INTERRUPTED = 75
"""Exit status of a command that stopped with a checkpoint and wants to go on (EX_TEMPFAIL)."""
LOST = 76
"""Exit status of a writer whose lock was taken by another."""
HANDED_ON = (signal.SIGTERM, signal.SIGUSR2)


class Hold:
    """A cell's job, held from ``with`` to its end.

    Args:
        lock: the cell's lock file.
        events: file of the attempts.
        checkpoints: run directory whose last checkpoint is noted at the end.
        asks: the signal that the command is told to stop with; None: the one that came.
    """

    def __init__(
        self, lock: Path, events: Path, checkpoints: Path | None = None, asks: signal.Signals | None = None
    ) -> None:
        self._lock, self._events, self._checkpoints = Lock(lock), events, checkpoints
        self._asks = asks
        self._child: subprocess.Popen[bytes] | None = None
        self._taken_away = self._told = False
        self.status, self.reason = 1, ""
        self.waited = False
        """Whether another writer was waited for, which may have finished the work."""

    def __enter__(self) -> Hold:
        self.waited = self._lock.acquire(self._lost, lambda text: print(text, file=sys.stderr, flush=True))
        attempts.began(self._events)
        for name in HANDED_ON:
            signal.signal(name, self._hand_on)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        reason = self.reason or (f"{type(error).__name__}: {error}".splitlines()[0] if error else "")
        step = _last_checkpoint(self._checkpoints) if self._checkpoints else None
        if not self._taken_away:
            attempts.ended(self._events, self.status, reason or None, step)
        self._lock.release()

    def run(self, command: Sequence[str], environment: dict[str, str] | None = None) -> int:
        """Run a command to its end; its exit status, negative for a signal."""
        if self._told:
            self.status, self.reason = INTERRUPTED, "told to stop before it began"
            return self.status
        if self.lost:
            return self.status
        self._child = subprocess.Popen(command, env={**os.environ, **(environment or {})})
        if self._taken_away:
            self._lost()
        self.status = self._child.wait()
        self._child = None
        if not self.lost and self.status:
            self.reason = f"{' '.join(command[:2])}: " + (
                f"signal {-self.status}" if self.status < 0 else f"exit status {self.status}"
            )
        return self.status

    @property
    def lost(self) -> bool:
        """Whether another writer has taken the lock: nothing may be written any more."""
        if self._taken_away:
            self.status, self.reason = LOST, "another writer has taken the cell's lock"
        return self._taken_away

    def _hand_on(self, number: int, frame: FrameType | None) -> None:
        self._told = True
        if self._child is not None:
            self._child.send_signal(self._asks or number)

    def _lost(self) -> None:
        self._taken_away = True
        if self._child is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            top = psutil.Process(self._child.pid)
            for process in [*top.children(recursive=True), top]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()


def _last_checkpoint(folder: Path) -> int | None:
    steps = [int(name.name.rpartition("-")[2]) for name in folder.glob("checkpoint-[0-9]*")]
    return max(steps, default=None)


def as_exit_status(status: int) -> int:
    """The status as a shell tells it: 128 and the number of the signal."""
    return 128 - status if status < 0 else status


def main() -> None:
    """Command line: ``hold.py --lock FILE --attempts FILE -- COMMAND...``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", type=Path, required=True)
    parser.add_argument("--attempts", type=Path, required=True)
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    with Hold(arguments.lock, arguments.attempts) as hold:
        hold.run(arguments.command)
    sys.exit(as_exit_status(hold.status))


if __name__ == "__main__":
    main()
