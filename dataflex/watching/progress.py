"""How far a run is and how fast it goes, from the ends of its two logs.

LLaMA-Factory's ``trainer_log.jsonl`` has the steps and the seconds since the last start, on which the pace
rests. The ledger of a dynamic run has no times, but the supervised tokens of all ranks in every interval, and
their mean loss. A static run has no ledger: its loss is the trainer's, its tokens are the input tokens where
the trainer counted them (``include_num_input_tokens_seen``).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dataflex.engine.checkpoints import checkpoints_of, is_resumable, step_of
from dataflex.watching.tails import TAIL, modified, number, read_object, read_objects

Tokens = Literal["supervised", "input"]
LEAST = 5.0
"""Seconds that the log must cover to tell a pace; without a count of tokens its times are whole seconds."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Attributes:
        step: the last one that was logged.
        total_steps: of the run.
        loss: mean over the last logging interval, in nats a token.
        tokens_per_second: all ranks together, since the last start as far as the end of the log reaches.
        tokens: which ones are counted.
        seconds_per_step: over the same steps.
        interval: seconds between the last two lines of the log.
        logged: Unix time of the last line.
    """

    step: int | None = None
    total_steps: int | None = None
    loss: float | None = None
    tokens_per_second: float | None = None
    tokens: Tokens | None = None
    seconds_per_step: float | None = None
    interval: float = 0.0
    logged: float | None = None

    def seconds_left(self, now: float) -> float | None:
        """Seconds until the last step at the present pace; None where it has not shown one."""
        if self.step is None or self.total_steps is None or self.seconds_per_step is None:
            return None
        # Since the last line it has gone on, but by no more than an interval, or there were another line.
        since = min(max(0.0, now - (self.logged or now)), self.interval)
        return max(0.0, (self.total_steps - self.step) * self.seconds_per_step - since)


@dataclass(frozen=True)
class Point:
    """A line of the trainer's log.

    Attributes:
        step: the last one.
        seconds: since the start.
        tokens: input tokens so far, if they are counted.
        trained: whether it has a training loss; others follow an evaluation, or the last step.
    """

    step: int
    seconds: float
    tokens: float | None = None
    trained: bool = True

    def comes_before(self, other: Point) -> bool:
        """Whether it can be of the same start as a later line."""
        again = self.step == other.step and self.trained and other.trained
        return self.seconds <= other.seconds and self.step <= other.step and not again


def read_progress(run_dir: Path, since: float | None = None) -> Progress:
    """Read where a run stands.

    Args:
        run_dir: of the run; it may be missing.
        since: Unix time of the present start. What is older tells nothing of the pace, nor of the step: the
            run goes on from its last checkpoint.
    """
    manifest = read_object(run_dir / "manifest.json") or {}
    log = run_dir / "trainer_log.jsonl"
    lines, whole = read_objects(log, TAIL)
    ledger = _Ledger(run_dir / "ledger.jsonl")
    totals = [total for line in lines if (total := number(line.get("total_steps")))]
    total_steps = totals[-1] if totals else number(manifest.get("total_steps"))
    logged = modified(log)
    losses = [loss for line in lines if (loss := number(line.get("loss"))) is not None]
    loss = ledger.loss if ledger.loss is not None else next(reversed(losses), None)
    total = None if total_steps is None else int(total_steps)
    if since is not None and (logged is None or logged < since):
        return Progress(step=last_checkpoint(run_dir), total_steps=total, loss=loss)
    points = [point for line in lines if (point := _point(line)) is not None]
    begin = _begin(manifest, points, whole)
    window = last_stretch(points, begin)
    pace = speed = kind = None
    seconds = window[-1].seconds - window[0].seconds if window else 0.0
    if seconds >= LEAST and window[-1].step > window[0].step:
        pace = seconds / (window[-1].step - window[0].step)
        speed, kind = _speed(window, ledger)
    return Progress(
        step=window[-1].step if window else begin,
        total_steps=total,
        loss=loss,
        tokens_per_second=speed,
        tokens=kind,
        seconds_per_step=pace,
        interval=window[-1].seconds - window[-2].seconds if len(window) > 1 else 0.0,
        logged=logged,
    )


def last_checkpoint(run_dir: Path) -> int | None:
    """Return the step of the last checkpoint that a run can go on from."""
    try:
        found = checkpoints_of(run_dir)
        sealed = [path for path in found if (path / "dataflex").is_dir()]
        # LLaMA-Factory's own runs seal nothing: the trainer's state is the last file of theirs.
        good = (
            path
            for path in reversed(found)
            if (is_resumable(path) if sealed else (path / "trainer_state.json").is_file())
        )
        return next((step_of(path) for path in good), None)
    except OSError:
        return None


def last_stretch(points: Sequence[Point], begins_at: int | None = None) -> list[Point]:
    """Return the points since the last start: there the clock began anew, and often the steps went back.

    Args:
        points: in the order of the log.
        begins_at: step that the last start went on from, where it is known.
    """
    stretch: list[Point] = []
    for point in reversed(points):
        if stretch and not point.comes_before(stretch[0]):
            break
        if begins_at is not None and point.step <= begins_at:
            break
        stretch.insert(0, point)
    if len(stretch) == 1 and begins_at is not None:
        stretch.insert(0, Point(begins_at, 0.0))
    return stretch


def _begin(manifest: dict[str, Any], points: Sequence[Point], whole: bool) -> int | None:
    """Step that the last start went on from: as the manifest says, or 0 if the log shows a first start."""
    stretches = manifest.get("stretches")
    last = stretches[-1] if isinstance(stretches, list) and stretches else None
    step = number(last.get("from_step")) if isinstance(last, dict) else None
    if step is not None:
        return int(step)
    return 0 if whole and len(points) == 1 else None


def _point(line: dict[str, Any]) -> Point | None:
    step, text = number(line.get("current_steps")), line.get("elapsed_time")
    match = re.fullmatch(r"(?:(\d+) days?, )?(\d+):(\d\d):(\d\d)", text) if isinstance(text, str) else None
    if step is None or match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    elapsed = float(((24 * days + hours) * 60 + minutes) * 60 + seconds)
    tokens, throughput = number(line.get("total_tokens")), number(line.get("throughput"))
    if tokens and throughput:
        # The same time without the rounding to whole seconds.
        elapsed = tokens / throughput
    return Point(int(step), elapsed, tokens, trained=number(line.get("loss")) is not None)


def _speed(window: Sequence[Point], ledger: _Ledger) -> tuple[float | None, Tokens | None]:
    """Tokens a second over the points, and which ones; of the ledger, as far back as it was read."""
    known = [point for point in window if (ledger.since or 0) <= point.step <= max(ledger.tokens, default=0)]
    if ledger.tokens and known and known[-1].seconds - known[0].seconds >= LEAST:
        steps = range(known[0].step + 1, known[-1].step + 1)
        tokens = sum(count for step, count in ledger.tokens.items() if step in steps)
        return tokens / (known[-1].seconds - known[0].seconds), "supervised"
    first, last = window[0], window[-1]
    if not ledger.tokens and first.tokens is not None and last.tokens is not None:
        return (last.tokens - first.tokens) / (last.seconds - first.seconds), "input"
    return None, None


class _Ledger:
    """The end of a run's ledger.

    Attributes:
        tokens: supervised tokens of each logging interval, by its last step.
        since: step after which they are sure to be whole; None if the ledger was read from its beginning.
        loss: mean of the last whole interval in nats a token; None without a ledger.
    """

    def __init__(self, file: Path) -> None:
        lines, whole = read_objects(file, TAIL)
        sums: dict[int, float] = defaultdict(float)
        tokens: dict[int, float] = defaultdict(float)
        domains: dict[int, int] = defaultdict(int)
        for line in lines:
            step, count = number(line.get("step")), number(line.get("loss_tokens"))
            if step is None or count is None:
                continue
            domains[int(step)] += 1
            tokens[int(step)] += count
            sums[int(step)] += count * (number(line.get("loss")) or 0.0)
        steps = sorted(tokens)
        # A step has a line for each domain; of the last one some may be missing.
        if len(steps) > 1 and domains[steps[-1]] < domains[steps[-2]]:
            del tokens[steps.pop()]
        self.tokens = dict(tokens)
        self.since = None if whole or not steps else steps[0]
        trained = [step for step in steps if tokens[step]]
        self.loss = sums[trained[-1]] / tokens[trained[-1]] if trained else None
