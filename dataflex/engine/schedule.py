"""When decisions are made: pure functions of the schedule keys of a configuration.

A *cycle* is ``warmup_step`` steps on the undecided data followed by ``update_times`` phases of
``update_step`` steps each; a decision is made at the first step of every such phase, before any
forward pass of that step. ``update_times <= 0`` means "no fixed count": phases go on to the end of
training. Selection starts a new cycle, with a new warm-up, when one has ended and steps are left (one
cycle is what upstream calls a Flex epoch); a mixture is kept instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from dataflex.errors import UserError

Kind = Literal["select", "mix", "weight"]


@dataclass(frozen=True)
class Phase:
    """Steps ``start <= step < stop`` that are trained on one state of the data."""

    name: Literal["warmup", "update"]
    start: int
    stop: int
    update: int
    """Index of the decision that opens this phase, over the whole run; -1 in a warm-up."""

    @property
    def steps(self) -> int:
        """Number of optimizer steps."""
        return self.stop - self.start


@dataclass(frozen=True)
class Schedule:
    """The steps at which one component decides, in a run of ``total_steps`` optimizer steps."""

    warmup_step: int
    update_step: int
    update_times: int
    total_steps: int
    repeats: bool = False
    """Whether a new cycle follows a finished one (selection) or its last decision is kept (mixture)."""

    def phases(self) -> Iterator[Phase]:
        """Yield the phases in order; together they cover every step exactly once."""
        start, update = 0, 0
        while start < self.total_steps:
            if self.warmup_step:
                stop = min(start + self.warmup_step, self.total_steps)
                yield Phase("warmup", start, stop, -1)
                start = stop
            made = 0
            while start < self.total_steps and (self.update_times <= 0 or made < self.update_times):
                last = not self.repeats and made + 1 == self.update_times
                stop = self.total_steps if last else min(start + self.update_step, self.total_steps)
                yield Phase("update", start, stop, update)
                start, update, made = stop, update + 1, made + 1

    def phase_at(self, step: int) -> Phase:
        """Return the phase that holds ``step``, in constant time."""
        if not 0 <= step < self.total_steps:
            raise ValueError(f"step {step} is outside of a run of {self.total_steps} steps")
        cycle = cycle_steps(self.warmup_step, self.update_step, self.update_times)
        turn, inside = divmod(step, cycle) if cycle and self.repeats else (0, step)
        origin = step - inside
        if inside < self.warmup_step:
            return Phase("warmup", origin, min(origin + self.warmup_step, self.total_steps), -1)
        made = (inside - self.warmup_step) // self.update_step
        kept = self.update_times > 0 and not self.repeats and made >= self.update_times - 1
        made = self.update_times - 1 if kept else made
        start = origin + self.warmup_step + made * self.update_step
        stop = self.total_steps if kept else min(start + self.update_step, self.total_steps)
        return Phase("update", start, stop, turn * max(self.update_times, 0) + made)

    @property
    def updates(self) -> int:
        """Decisions of a whole cycle."""
        if self.update_times > 0:
            return self.update_times
        return -(-(self.total_steps - self.warmup_step) // self.update_step)

    def decides_at(self, step: int) -> bool:
        """Tell whether a decision is due before ``step`` is trained."""
        phase = self.phase_at(step)
        return phase.name == "update" and phase.start == step

    def restarts_at(self, step: int) -> bool:
        """Tell whether a warm-up begins at ``step``."""
        phase = self.phase_at(step)
        return phase.name == "warmup" and phase.start == step


def cycle_steps(warmup_step: int, update_step: int, update_times: int) -> int | None:
    """Return the steps of one cycle, or ``None`` when the schedule does not fix them."""
    return warmup_step + update_step * update_times if update_times > 0 and update_step > 0 else None


def run_steps(
    kinds: dict[Kind, tuple[int, int, int]],
    *,
    train_step: int,
    max_steps: int,
    epochs: float,
    rows: int,
    batch_rows: int,
    drop_last: bool = False,
) -> int:
    """Return the number of optimizer steps of a run.

    Args:
        kinds: ``(warmup_step, update_step, update_times)`` of each decision.
        train_step: the configuration's total; 0 when not given.
        max_steps: LLaMA-Factory's total; not positive when not given.
        epochs: ``num_train_epochs``. Scales the cycle of a selection, and the passes over ``rows`` of
            a run whose length no schedule fixes.
        rows: rows of all domains.
        batch_rows: rows of one optimizer step, over micro-batches, accumulation and ranks.
        drop_last: a pass over the rows ends with its last whole step.

    Raises:
        UserError: ``train_step`` and ``max_steps`` are both given and differ.
    """
    if train_step > 0 and max_steps > 0 and train_step != max_steps:
        raise UserError(f"train_step is {train_step} and max_steps is {max_steps}: keep one of the two")
    if train_step > 0 or max_steps > 0:
        return max(train_step, max_steps)
    lengths = []
    for kind, keys in kinds.items():
        cycle = cycle_steps(*keys) if kind != "weight" else None
        if cycle is not None:
            lengths.append(math.ceil(epochs * cycle) if kind == "select" else cycle)
    steps_of_a_pass = rows // batch_rows if drop_last else -(-rows // batch_rows)
    return max(lengths) if lengths else math.ceil(epochs * steps_of_a_pass)


def make_schedule(
    kind: Kind,
    warmup_step: int,
    update_step: int,
    update_times: int,
    total_steps: int,
    *,
    constant: bool = False,
) -> Schedule:
    """Build the schedule of one decision and refuse one that could never decide.

    Args:
        kind: what is decided.
        warmup_step: see module.
        update_step: see module; a weighter decides at every step.
        update_times: see module.
        total_steps: optimizer steps of the run.
        constant: whether the component always decides the same; without an ``update_step`` it decides once.

    Raises:
        UserError: a warm-up that lasts as long as the run, or ``update_step`` missing.
    """
    if kind == "weight":
        update_step, update_times = 1, 0
    elif constant and update_step == 0:
        update_step, update_times = total_steps, 1
    elif update_step <= 0:
        raise UserError(
            f"update_step is {update_step}: a {kind} decision needs the number of steps between updates, "
            "for example update_step: 50"
        )
    if warmup_step >= total_steps:
        raise UserError(
            f"warmup_step is {warmup_step} but the run has only {total_steps} steps, so nothing would ever "
            "be decided: lower warmup_step or raise train_step"
        )
    return Schedule(warmup_step, update_step, update_times, total_steps, repeats=kind == "select")
