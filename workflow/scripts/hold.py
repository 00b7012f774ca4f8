"""Do a job of a cell as its only writer: lock, note the attempt, hand signals on, tell how it ended."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import attempts
import leash
import writers
from lock import Lock

INTERRUPTED = 75
"""Exit status of a command that stopped with a checkpoint and wants to go on (EX_TEMPFAIL)."""
LOST = 76
"""Exit status of a writer whose lock was taken by another."""
HEARD = (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT, signal.SIGHUP)
RELAY = "DATAFLEX_RELAY"
"""Names the folder in which a Slurm job's relay looks for who wants to be told of Slurm's notices."""
IMPATIENCE = 2.0
"""Seconds after which a further SIGINT is one from the keyboard again, and not the first one twice."""


class Hold:
    """A cell's job, held from ``with`` to its end.

    Args:
        lock: the cell's lock file.
        events: file of the attempts.
        progress: how far the work has come, noted at the end: a number that grows where going on spares work.
        asks: the signal that the command is told to stop with; None: the one that came.
    """

    def __init__(
        self,
        lock: Path,
        events: Path,
        progress: Callable[[], int | None] = lambda: None,
        asks: signal.Signals | None = None,
    ) -> None:
        self._lock, self._events, self._progress = Lock(lock), events, progress
        self._asks = asks
        self._child: subprocess.Popen[bytes] | None = None
        self._listens: Path | None = None
        self._taken_away = False
        self._told: tuple[int, float] | None = None
        self.status, self.reason = 1, ""
        self.waited = False
        """Whether another writer was waited for, which may have finished the work."""

    def __enter__(self) -> Hold:
        # First of all: what the shell ignores, because it is not to die of it, would go unheard.
        for name in HEARD:
            # But for nohup's: a terminal that is closed ends nothing then.
            if name != signal.SIGHUP or signal.getsignal(name) != signal.SIG_IGN:
                signal.signal(name, self._hear)
        if RELAY in os.environ:
            self._listens = Path(os.environ[RELAY]) / str(os.getpid())
            self._listens.touch()
        waited = self._lock.acquire(self._lost, _say, lambda: self._told is not None)
        if waited is None:
            _say("told to stop while waiting for another writer")
            sys.exit(INTERRUPTED)
        self.waited = waited
        attempts.began(self._events)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # Whoever has the lock next must be alone: nothing that was started here may write on.
        writers.end(self._lock.token)
        if self._child is not None:
            self._child.wait()
        reason = self.reason or (f"{type(error).__name__}: {error}".splitlines()[0] if error else "")
        try:
            if not self._taken_away:
                attempts.ended(self._events, self.status, reason or None, self._progress())
        finally:
            # Also where the disk is full: nothing writes any more.
            self._lock.release()
            if self._listens is not None:
                self._listens.unlink(missing_ok=True)

    def run(self, command: Sequence[str], environment: dict[str, str] | None = None) -> int:
        """Run a command to its end; its exit status, negative for a signal."""
        if self._told:
            self.status, self.reason = INTERRUPTED, "told to stop before it began"
            return self.status
        if self.lost:
            return self.status
        # In a group of its own: an interrupt from the keyboard comes from here, as a wish to stop.
        self._child = subprocess.Popen(
            [sys.executable, "-S", "-E", leash.__file__, str(os.getpid()), *command],
            env={**os.environ, **(environment or {}), leash.MARK: self._lock.token},
            # A group that is not the terminal's would be stopped for ever by a question.
            stdin=subprocess.DEVNULL,
            process_group=0,
        )
        # Either may have come while it was being started, when there was nobody to tell.
        if self._told:
            self._hand_on(self._told[0])
        if self._taken_away:
            self._lost()
        self.status = self._child.wait()
        self._child = None
        # What ran it elsewhere, as srun does, tells of a signal as a shell does.
        number = as_exit_status(self.status) - 128
        if self._told and number in HEARD:
            # It had not begun to listen, or had stopped in order already and did no more.
            self.status, self.reason = INTERRUPTED, f"told to stop, it ended at once ({number})"
        elif not self.lost and self.status:
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

    def _hear(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._told is None:
            self._told = number, now
            self._hand_on(number)
        elif number == signal.SIGINT and now - self._told[1] > IMPATIENCE:
            _say("interrupted again: what runs is killed")
            writers.tell(self._lock.token, signal.SIGKILL)

    def _hand_on(self, number: int) -> None:
        """Ask the command to stop, in a way that it answers."""
        if self._child is not None:
            asks = signal.SIGTERM if number in (signal.SIGINT, signal.SIGHUP) else number
            self._child.send_signal(self._asks or asks)

    def _lost(self) -> None:
        self._taken_away = True
        writers.tell(self._lock.token, signal.SIGKILL)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def as_exit_status(status: int) -> int:
    """The status as a shell tells it: 128 and the number of the signal."""
    return 128 - status if status < 0 else status


def persist(work: Callable[[bool], int]) -> int:
    """Do a job's work, again when its lock was lost: it waits for the writer that has the lock now.

    Args:
        work: gets whether it is done again, because another writer had taken over.

    Returns:
        How it ended, as a shell tells it.
    """
    status = work(False)
    while status == LOST:
        status = work(True)
    return as_exit_status(status)


def are_there(files: Sequence[Path]) -> bool:
    """Whether all is there that another writer was to make."""
    return bool(files) and all(file.is_file() for file in files)


def do(arguments: argparse.Namespace, again: bool) -> int:
    """Do it once as the only writer; the exit status, ``LOST`` if another took over.

    Args:
        again: it was begun before, and another took over: what that has made is left alone.
    """
    with Hold(arguments.lock, arguments.attempts) as hold:
        if again and are_there(arguments.makes):
            hold.status = 0
        else:
            hold.run(arguments.command)
        return hold.status


def main() -> None:
    """Command line: ``hold.py --lock FILE --attempts FILE [--makes FILE ...] -- COMMAND...``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", type=Path, required=True)
    parser.add_argument("--attempts", type=Path, required=True)
    parser.add_argument("--makes", type=Path, nargs="+", default=[], help="what the command writes")
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    sys.exit(persist(lambda again: do(arguments, again)))


if __name__ == "__main__":
    main()
