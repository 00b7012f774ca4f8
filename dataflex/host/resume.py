"""Where a run goes on from, and what of an abandoned future must not be mistaken for its own."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from dataflex.engine import state
from dataflex.errors import UserError


def resume_point(given: Any, output_dir: Path, *, overwrite: bool) -> Path | None:
    """Return the checkpoint to go on from, or none to begin anew.

    Args:
        given: the configuration's ``resume_from_checkpoint``. None: the newest complete checkpoint of
            ``output_dir`` if there is one, as LLaMA-Factory does; false: none; true: the newest, which must
            exist; else a checkpoint's folder.
        output_dir: the run directory.
        overwrite: the configuration's ``overwrite_output_dir``; it keeps None from looking.

    Raises:
        UserError: the checkpoint that was asked for is missing or not complete.
    """
    if given is False or (isinstance(given, str) and given.lower() == "false"):
        return None
    if isinstance(given, str) and given.lower() != "true":
        if not state.is_complete(Path(given)):
            raise UserError(f"resume_from_checkpoint: {given} is not a complete checkpoint of a dynamic run")
        return Path(given)
    newest = max(_checkpoints(output_dir, complete=True), key=step_of, default=None)
    if given is None:
        return None if overwrite else newest
    if newest is None:
        raise UserError(f"resume_from_checkpoint is true, but {output_dir} holds no complete checkpoint")
    return newest


def refuse_other_ranks(checkpoint: Path, training: Any) -> None:
    """Refuse a checkpoint that DeepSpeed would not read, before a model loads.

    Raises:
        UserError: it was written on another number of processes, or without DeepSpeed, or with it where this
            run has none.
    """
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


def step_of(checkpoint: Path) -> int:
    """Return the optimizer steps that a checkpoint was made after."""
    return int(checkpoint.name.rsplit("-", 1)[1])


def set_aside_later(output_dir: Path, resume_from: Path | None) -> None:
    """Rename the checkpoints of ``output_dir`` from where the run begins on, but that which it goes on from.

    The run will write checkpoints of the same names; a kill in the midst of that must not leave a mixture
    of old and new files that looks complete.
    """
    reached = step_of(resume_from) if resume_from else 0
    for checkpoint in _checkpoints(output_dir, complete=False):
        if step_of(checkpoint) >= reached and not _same(checkpoint, resume_from):
            aside = checkpoint.with_name(f"abandoned-{checkpoint.name}")
            number = 1
            while aside.exists():
                number += 1
                aside = checkpoint.with_name(f"abandoned-{checkpoint.name}-{number}")
            checkpoint.rename(aside)


def _same(one: Path, other: Path | None) -> bool:
    return other is not None and one.resolve() == other.resolve()


def _checkpoints(folder: Path, *, complete: bool) -> list[Path]:
    found = [path for path in folder.glob("checkpoint-*") if path.name.rsplit("-", 1)[1].isdigit()]
    return [path for path in found if not complete or state.is_complete(path)]


def allow_cpu_resume(training: Any) -> None:
    """Let torch load a checkpoint on a CPU that has a number, as several processes on CPUs ask for.

    torch knows the place "cpu" but not "cpu:0", which the Trainer names when ranks have local numbers.
    """
    if training.world_size > 1 and training.device.type == "cpu":
        _register_numbered_cpus()


@cache
def _register_numbered_cpus() -> None:
    """Once a process: torch can't sort two entries of the same priority."""
    import torch

    torch.serialization.register_package(
        5, lambda _: None, lambda storage, place: storage if place.startswith("cpu") else None
    )
