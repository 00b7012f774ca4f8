"""Where a run goes on from, and what of an abandoned future must not be mistaken for its own."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import torch

from dataflex.collectives import concatenate_ranks
from dataflex.engine.checkpoints import checkpoints_of, is_complete, is_resumable, step_of
from dataflex.errors import UserError


def resume_point(given: Any, output_dir: Path, *, overwrite: bool, total_steps: int) -> Path | None:
    """Return the checkpoint to go on from, or none to begin anew.

    Args:
        given: the configuration's ``resume_from_checkpoint``. None: the newest complete checkpoint of
            ``output_dir`` that a run can go on from if there is one, as LLaMA-Factory does; false: none;
            true: the newest, which must exist; else a checkpoint's folder.
        output_dir: the run directory.
        overwrite: the configuration's ``overwrite_output_dir``; it keeps None from looking.
        total_steps: of the run; the checkpoint behind the last one is gone on from in any case.

    Raises:
        UserError: the checkpoint that was asked for is missing or not complete, all that there are hold the
            model alone, as ``save_only_model: true`` leaves it, or ranks see different ones.
    """
    found = _found(given, output_dir, overwrite=overwrite)
    if found is not None and step_of(found) < total_steps:
        found = _to_go_on_from(found, anywhere=not _is_path(given))
    steps = concatenate_ranks(torch.tensor([-1 if found is None else step_of(found)])).tolist()
    if len(set(steps)) > 1:
        raise UserError(
            f"output_dir: ranks see different newest checkpoints in {output_dir} (of steps {steps}, -1 is "
            "none): put it on a file system that all of them share"
        )
    return found


def _found(given: Any, output_dir: Path, *, overwrite: bool) -> Path | None:
    if given is False or (isinstance(given, str) and given.lower() == "false"):
        return None
    if _is_path(given):
        if not is_complete(Path(given)):
            raise UserError(f"resume_from_checkpoint: {given} is not a complete checkpoint of a dynamic run")
        return Path(given)
    newest = next((path for path in reversed(checkpoints_of(output_dir)) if is_complete(path)), None)
    if given is None:
        return None if overwrite else newest
    if newest is None:
        raise UserError(f"resume_from_checkpoint is true, but {output_dir} holds no complete checkpoint")
    return newest


def _is_path(given: Any) -> bool:
    return isinstance(given, str) and given.lower() != "true"


def _to_go_on_from(checkpoint: Path, *, anywhere: bool) -> Path:
    """Return this checkpoint, or an earlier one beside it, that holds optimizer and random states too.

    Without them the Trainer would go on as well, to another end than the run that never stopped.
    """
    earlier = [path for path in checkpoints_of(checkpoint.parent) if step_of(path) < step_of(checkpoint)]
    for one in [checkpoint, *(reversed(earlier) if anywhere else ())]:
        if is_resumable(one):
            return one
    raise UserError(
        f"{checkpoint} holds the model alone, as save_only_model: true leaves it: the run can't go on "
        "from it; choose another output_dir, or set overwrite_output_dir: true to start anew"
    )


def refuse_other_sharding(checkpoint: Path, training: Any) -> None:
    """Refuse a checkpoint with the optimizer in another form than this run reads, before a model loads.

    Raises:
        UserError: it was written by DeepSpeed on another number of processes, or with DeepSpeed or FSDP where
            this run has none, or the other way round.
    """
    by_fsdp = any((checkpoint / name).exists() for name in ("optimizer.bin", "optimizer_0"))
    if bool(training.fsdp) != by_fsdp:
        one, other = ("without", "with") if training.fsdp else ("with", "without")
        raise UserError(
            f"{checkpoint} was saved {one} fsdp, this run is {other} it: change the key fsdp back"
        )
    files = checkpoint.glob("global_step*/*zero_pp_rank_*_optim_states.pt")
    ranks = len({file.name for file in files})
    if bool(training.deepspeed) != any(checkpoint.glob("global_step*")):
        one, other = ("without", "with") if training.deepspeed else ("with", "without")
        raise UserError(
            f"{checkpoint} was saved {one} deepspeed, this run is {other} it: change the key deepspeed back"
        )
    if ranks and ranks != training.world_size:
        raise UserError(
            f"{checkpoint} was saved by DeepSpeed on {ranks} processes, which this run, on "
            f"{training.world_size}, can't read: start as many as there were"
        )


def set_aside_later(output_dir: Path, resume_from: Path | None) -> None:
    """Rename the checkpoints of ``output_dir`` from where the run begins on, but that which it goes on from.

    The run will write checkpoints of the same names; a kill in the midst of that must not leave a mixture
    of old and new files that looks complete. Of those that were never complete the last one is left.
    """
    reached = step_of(resume_from) if resume_from else 0
    for checkpoint in checkpoints_of(output_dir):
        if step_of(checkpoint) >= reached and not _same(checkpoint, resume_from):
            _set_aside(checkpoint)


def set_aside_unfinished(output_dir: Path) -> None:
    """Rename the checkpoints of a stock run that a kill or a full disk cut short.

    LLaMA-Factory goes on from the newest, whatever is in it. The Trainer writes its own state last, behind
    the barrier at which DeepSpeed's ranks and FSDP's have written theirs.
    """
    for checkpoint in checkpoints_of(output_dir):
        if not _has_state(checkpoint):
            _set_aside(checkpoint)


def _has_state(checkpoint: Path) -> bool:
    try:
        return isinstance(json.loads((checkpoint / "trainer_state.json").read_bytes()), dict)
    except (OSError, ValueError):
        return False


def _set_aside(checkpoint: Path) -> None:
    aside = checkpoint.with_name(f"abandoned-{checkpoint.name}")
    number = 1
    while is_complete(aside):
        number += 1
        aside = checkpoint.with_name(f"abandoned-{checkpoint.name}-{number}")
    shutil.rmtree(aside, ignore_errors=True)
    checkpoint.rename(aside)


def _same(one: Path, other: Path | None) -> bool:
    return other is not None and one.resolve() == other.resolve()


def allow_cpu_resume(training: Any) -> None:
    """Let torch load a checkpoint on a CPU that has a number, as several processes on CPUs ask for.

    torch knows the place "cpu" but not "cpu:0", which the Trainer names when ranks have local numbers.
    """
    if training.world_size > 1 and training.device.type == "cpu":
        _register_numbered_cpus()


@cache
def _register_numbered_cpus() -> None:
    """Once a process: torch can't sort two entries of the same priority."""
    torch.serialization.register_package(
        5, lambda _: None, lambda storage, place: storage if place.startswith("cpu") else None
    )
