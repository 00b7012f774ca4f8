"""Progress of golden runs."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class Bar:
    """A progress bar on standard error over runs; a context manager."""

    def __init__(self, total: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task("making the materials", total=total)

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def watch(self, what: str) -> Callable[[str], None]:
        """Return what is to be called with a line of the worker: ``loaded``, or the label of a run."""
        self._progress.update(self._task, description=f"{what}: loading the libraries")

        def ended(line: str) -> None:
            of_a_run = line != "loaded"
            self._progress.update(
                self._task, description=f"{what}: {line if of_a_run else 'training'}", advance=int(of_a_run)
            )

        return ended
