"""What the data side does as the Trainer calls back: at the start of a run, after a step, at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from typing_extensions import override

from dataflex.engine import state as data_state
from dataflex.engine.conductor import Conductor


class DataSide(TrainerCallback):
    """The ends of steps and logging intervals, and the start of a run.

    Args:
        conductor: of the run.
        resume_from: checkpoint that the run goes on from.
        restore_logging: takes the sums of the trainer's log that a checkpoint holds.
        end_weighing: shows a step's samples to the weighter, before the step is closed.
        close_feed: ends the workers that read ahead.
    """

    def __init__(
        self,
        conductor: Conductor,
        resume_from: Path | None,
        restore_logging: Callable[[dict[str, Any]], None],
        end_weighing: Callable[[], None],
        close_feed: Callable[[], None],
    ) -> None:
        self._conductor, self._resume_from = conductor, resume_from
        self._restore_logging = restore_logging
        self._end_weighing, self._close_feed = end_weighing, close_feed

    @override
    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._resume_from is None:
            self._conductor.start()
        else:
            self._restore_logging(data_state.load(self._conductor, self._resume_from))

    @override
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._end_weighing()
        self._conductor.end_step(state.global_step - 1)
        # Before the checkpoint of this step is saved, so that a resumed run writes the same lines.
        if control.should_log or state.global_step >= state.max_steps:
            self._conductor.log_interval(state.global_step)

    @override
    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if control.should_log:
            self._conductor.log_interval(state.global_step)

    @override
    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # A run that was stopped early has steps since its last log.
        self._conductor.log_interval(state.global_step)
        self._close_feed()
