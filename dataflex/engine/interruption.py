"""The wish that a run stop after its step, or in its decision: SIGTERM, SIGUSR2, or the word of its launcher.

Slurm sends these before it takes a job's time or nodes away. Python's own reaction would be to die at once.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from dataflex.engine.deadline import Deadline, stop_time
from dataflex.errors import Interrupted

SIGNALS = (signal.SIGTERM, signal.SIGUSR2)
STOP_FILE = "DATAFLEX_STOP_FILE"
"""Names a file whose appearance asks the processes of a launcher to stop; it tells the signal."""


class Interruption:
    """Hears what asks this process to stop, as a context manager; whoever trains looks at ``reason``.

    Signals are heard in the main thread alone, also those that a shell has told its children to ignore. The
    former handlers are back at the end.

    Args:
        deadline: after which to stop without being asked.
        stop_file: of the launcher that has started this process, if one has.
    """

    def __init__(self, deadline: Deadline, stop_file: Path | None = None) -> None:
        self.deadline = deadline
        self._stop_file = stop_file
        self._heard: list[str] = []
        self._former: dict[signal.Signals, Any] = {}

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Interruption:
        """Return that of a process with this environment.

        Raises:
            UserError: the time in it is not one, see ``stop_time``.
        """
        file = env.get(STOP_FILE)
        return cls(Deadline(stop_time(env)), Path(file) if file else None)

    @property
    def reason(self) -> str | None:
        """What has asked the run to stop; None: nothing has."""
        if self._heard:
            return self._heard[0]
        if self._stop_file is not None and self._stop_file.exists():
            return self._stop_file.read_text() or "its launcher"
        return None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.signal(number, self._hear) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Put the former handlers back: what runs from here on can't stop in order."""
        for number, handler in self._former.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._former = {}

    def refuse_to_begin(self, what: str) -> None:
        """Stop here if that is asked, before something begins.

        Raises:
            Interrupted: it is.
        """
        if self.reason is not None:
            raise Interrupted(f"interrupted by {self.reason} before {what}: the same command goes on there")

    def _hear(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        self._heard.append(name)
        if self._stop_file is None and len(self._heard) < 3:
            again = " already, this signal changes nothing" if len(self._heard) == 2 else ""
            when = "at the end of its step, or of a batch of its decision"
            _say(f"{name}: the run saves a checkpoint and stops {when}{again}")


_before_fork = threading.local()


def _hold_signals_back() -> None:
    _before_fork.mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def _let_signals_through() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _before_fork.mask)


def _end_at_signals() -> None:
    """A forked helper, such as a worker of a pool, is no run: signals are meant to end it.

    Those that came before its first instruction, too: Python forgets in a new process what it has heard, so
    that a pool which was closed at once would wait for its workers for ever.
    """
    for number in SIGNALS:
        if isinstance(getattr(signal.getsignal(number), "__self__", None), Interruption):
            signal.signal(number, signal.SIG_DFL)
    _let_signals_through()


os.register_at_fork(
    before=_hold_signals_back, after_in_parent=_let_signals_through, after_in_child=_end_at_signals
)


def _say(message: str) -> None:
    """Write a line to standard error beside its buffer, which may be in the midst of another."""
    os.write(2, f"dataflex-cli: {message}\n".encode())
