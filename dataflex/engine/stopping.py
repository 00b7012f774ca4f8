"""A run that is asked to stop ends after its step with a checkpoint, be it a dynamic or a stock one.

A decision may take an hour, and whoever asks for nodes back waits a minute: a dynamic run leaves it unmade.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NoReturn

import torch
from transformers import TrainerCallback
from typing_extensions import override

from dataflex.collectives import sum_over_ranks, wait_for_ranks
from dataflex.engine.interruption import Interruption
from dataflex.errors import Interrupted


class StopAtStepEnd(TrainerCallback):
    """Saves at the end of a step and leaves the Trainer, when some rank is asked to stop or time is short.

    Nothing that the Trainer does at the end of a training is done: no last log, no best model, no final one.
    The checkpoint is the one that a run which goes on would have written. A run that ends with this step
    anyway is let end.

    Args:
        interruption: of this process.

    Raises:
        Interrupted: by ``Trainer.train``, on all ranks, when every rank has written its part.
    """

    def __init__(self, interruption: Interruption) -> None:
        self._interruption = interruption
        self.first_step = 0
        """Optimizer steps that were done when this process began to train."""
        self._agreed = False
        self._saved = False

    @override
    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.first_step = state.global_step
        self._interruption.deadline.begin(time.time())

    @override
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._agreed = self._agreed or self._agree()
        if self._agreed and not control.should_training_stop:
            # With `save_strategy: best` an evaluation takes this back: then it is the next step's turn.
            control.should_save = True
            args.save_only_model = False

    def _agree(self) -> bool:
        """Tell whether some rank has to stop: signals and clocks reach ranks at different steps."""
        own = self._interruption.deadline.is_near(time.time()) or self._interruption.reason is not None
        return float(sum_over_ranks(torch.tensor([float(own)]))) > 0

    @override
    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # Not sooner: the checkpoint holds the Trainer's control, too.
        if self._agreed and not control.should_training_stop:
            self._saved = control.should_training_stop = True

    @override
    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not self._saved:
            return
        self.leave(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}", state.global_step)

    def leave(self, checkpoint: Path | None, step: int) -> NoReturn:
        """Tell on all ranks that the run stops at a step. ``checkpoint``: the step's, if one is saved.

        Raises:
            Interrupted: always.
        """
        # A launcher may end all ranks when the first one has left.
        wait_for_ranks()
        saved = f"{checkpoint} is saved" if checkpoint else "nothing is trained"
        raise Interrupted(
            f"interrupted at step {step} by {self._interruption.reason or 'the time limit'}: "
            f"{saved}, and the same command goes on from there"
        )

    def look(self) -> None:
        """Leave a decision that is being made, when some rank was sent a signal.

        A near deadline is no reason: a decision that is longer than a job would never be made.

        Raises:
            Interrupted: on all ranks.
        """
        asked = float(self._interruption.reason is not None)
        if float(sum_over_ranks(torch.tensor([asked]))):
            raise Interrupted("interrupted within a decision")
