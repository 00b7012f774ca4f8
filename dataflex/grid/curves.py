"""Accuracy during training: which of a run's checkpoints are evaluated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dataflex.grid.cells import Cell, GridError, about, experiment_spec, reported, settings

SAVE_STEPS = 500
EPOCHS = 3.0
"""Both are LLaMA-Factory's where a config says nothing."""


def steps_to_evaluate(grid: Mapping[str, Any], cell: Cell) -> tuple[int, ...]:
    """Steps whose models are evaluated: every ``evaluate_steps`` of them, without the run's last.

    The model after the last step is the run's own, which is evaluated in any case. Step 0 is the model that
    the run begins with, unless that is drawn at random. Nothing where the experiment asks for no curve, or
    where the cell only serves others.

    Raises:
        GridError: the run leaves no checkpoint at such a step, or its number of steps is not known
            beforehand.
    """
    spec = experiment_spec(grid, cell)
    every = spec.get("evaluate_steps")
    if every is None or not reported(grid, cell):
        return ()
    asked = f"{cell.path}: evaluate_steps is {every}"
    if about(spec) != "model":
        raise GridError(f"{asked}, but with `evaluate: {about(spec)}` no model is evaluated: leave it out")
    config = settings(grid, cell)
    if config.get("save_strategy", "steps") != "steps":
        raise GridError(f"{asked}, but save_strategy is {config['save_strategy']!r}: it must be steps")
    if config.get("save_total_limit") is not None:
        raise GridError(f"{asked}, and every checkpoint has to stay until then: leave out save_total_limit")
    save = config.get("save_steps", SAVE_STEPS)
    if not isinstance(save, int) or save < 1 or every % save:
        raise GridError(
            f"{asked} and save_steps {save}, which leaves no checkpoint at every such step: let "
            "evaluate_steps be a multiple of save_steps"
        )
    steps = tuple(range(every, total_steps(grid, cell), every))
    if not steps:
        raise GridError(
            f"{asked}, and the run has {total_steps(grid, cell)} steps: lower it, or leave it out"
        )
    return steps if config.get("train_from_scratch") else (0, *steps)


def total_steps(grid: Mapping[str, Any], cell: Cell) -> int:
    """Optimizer steps of a run, from what its config says of its length or of its decisions.

    Raises:
        GridError: the number depends on the size of the corpus.
    """
    config = settings(grid, cell)
    for key in ("train_step", "max_steps"):
        if int(config.get(key) or 0) > 0:
            return int(config[key])
    warmup, step, times = (
        int(config.get(name) or 0) for name in ("warmup_step", "update_step", "update_times")
    )
    kind = config.get("train_type")
    if kind in ("dynamic_select", "dynamic_mix") and step > 0 and times > 0:
        # A selection begins anew with every pass, a mixture is kept to the end.
        passes = float(config.get("num_train_epochs", EPOCHS)) if kind == "dynamic_select" else 1.0
        return math.ceil(passes * (warmup + step * times))
    raise GridError(
        f"{cell.path}: evaluate_steps needs the run's number of steps beforehand, and that of "
        "num_train_epochs depends on the size of the corpus: give max_steps"
    )
