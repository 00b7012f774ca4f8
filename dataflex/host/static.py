"""``train_type: static``: LLaMA-Factory itself, untouched, with an account of the run beside its files."""

from __future__ import annotations

import time

from dataflex.collectives import leave_ranks, wait_for_ranks
from dataflex.config import split
from dataflex.engine.interruption import Interruption
from dataflex.engine.stopping import StopAtStepEnd
from dataflex.errors import Interrupted
from dataflex.evidence.manifest import Manifest
from dataflex.host.prepare import Checked
from dataflex.host.resume import set_aside_unfinished


def train(checked: Checked, interruption: Interruption | None = None) -> None:
    """Hand LLaMA-Factory its own keys, unchanged, and record configuration, versions, data and time.

    Args:
        checked: the configuration.
        interruption: what may ask the run to stop before its end.

    Raises:
        Interrupted: it has; a checkpoint is saved.
    """
    from llamafactory.train.tuner import run_exp

    started = time.monotonic()
    writes = checked.args.training.should_save
    manifest = Manifest.of(checked.config, checked.files, facts=None, decisions={})
    stop = None if interruption is None else _stop(checked, interruption)
    if _can_go_on(checked):
        if writes:
            set_aside_unfinished(checked.output_dir)
        wait_for_ranks()
    try:
        run_exp(split(checked.config)[1], callbacks=[] if stop is None else [stop])
    except Interrupted:
        assert stop is not None
        if writes:
            manifest.start(checked.output_dir, stop.first_step)
            manifest.interrupt(checked.output_dir, time.monotonic() - started)
        leave_ranks()
        raise
    if writes:
        manifest.start(checked.output_dir, 0 if stop is None else stop.first_step)
        manifest.complete(checked.output_dir, wall_seconds=time.monotonic() - started)


def _stop(checked: Checked, interruption: Interruption) -> StopAtStepEnd | None:
    """Return what stops the run in order; where nothing can, signals end it at once as they used to."""
    from llamafactory.extras.misc import use_ray

    # Ray's processes get no signals.
    if _can_go_on(checked) and not use_ray():
        return StopAtStepEnd(interruption)
    interruption.release()
    return None


def _can_go_on(checked: Checked) -> bool:
    """Tell whether the run's checkpoints hold what it goes on from; PPO's own loop saves none of that."""
    return bool(checked.args.training.do_train) and checked.args.finetuning.stage != "ppo"
