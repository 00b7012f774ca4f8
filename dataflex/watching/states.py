"""What a cell is doing, as its sentinel, its attempts, its lock and its results tell together."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from dataflex.evidence.results import FILES
from dataflex.watching.attempts import STALE, Attempt
from dataflex.watching.expected import EVALUATIONS, OF_STEPS, ExpectedCell
from dataflex.watching.jobs import JobFiles
from dataflex.watching.progress import Progress, last_checkpoint, read_progress
from dataflex.watching.tails import number, read_object

State = Literal[
    "waiting",
    "ready",
    "queued",
    "training",
    "interrupted",
    "lost",
    "failed",
    "trained",
    "evaluating",
    "evaluated",
]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True)
class CellState:
    """One cell of the grid.

    Attributes:
        cell: which one.
        state: see ``STATES``; failed, lost and interrupted ones may be trained and be so in their evaluation.
        rule: the job that the state is about.
        trained: whether its sentinel is there.
        progress: of its training.
        seconds_left: of its training, while it goes on.
        attempts: at its training.
        evaluations: attempts at its evaluation.
        restarts: starts of its training beyond the first.
        reason: why it is in this state, where that is not plain.
        waits_for: names of what is missing before it can start.
        checkpoint: step that an unfinished run goes on from.
        wall_seconds: of a training that was never killed.
        run_dir: the run.
        logs: of its jobs, Slurm's among them, those that exist.
    """

    cell: ExpectedCell
    state: State
    rule: str
    trained: bool
    progress: Progress
    seconds_left: float | None
    attempts: tuple[Attempt, ...]
    evaluations: tuple[Attempt, ...]
    restarts: int
    reason: str | None
    waits_for: tuple[str, ...]
    checkpoint: int | None
    wall_seconds: float | None
    run_dir: Path
    logs: tuple[Path, ...]

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do for it."""
        return self.state == ("evaluated" if self.cell.reported else "trained")

    def why_restarted(self) -> list[str]:
        """How each attempt ended that was followed by another one."""
        return [attempt.outcome() for attempt in self.attempts[:-1]]

    def as_dict(self) -> dict[str, Any]:
        """JSON types."""
        progress = asdict(self.progress)
        del progress["interval"]
        return {
            "experiment": self.cell.experiment,
            "cell": self.cell.name,
            "state": self.state,
            "rule": self.rule,
            "trained": self.trained,
            "reported": self.cell.reported,
            **progress,
            "seconds_left": self.seconds_left,
            "restarts": self.restarts,
            "why_restarted": self.why_restarted(),
            "reason": self.reason,
            "waits_for": list(self.waits_for),
            "checkpoint": self.checkpoint,
            "wall_seconds": self.wall_seconds,
            "attempts": [attempt.as_dict() for attempt in self.attempts],
            "evaluations": [attempt.as_dict() for attempt in self.evaluations],
            "run_dir": str(self.run_dir),
            "logs": [str(log) for log in self.logs],
        }


def cell_state(root: Path, cell: ExpectedCell, now: float) -> CellState:
    """Find out what a cell is doing.

    Args:
        root: the rung's folder.
        cell: of the grid.
        now: Unix time.
    """
    run_dir = root / "train" / cell.path
    sentinel = root / "train" / f"{cell.path}.done.json"
    trained = sentinel.is_file()
    evaluation = EVALUATIONS[cell.kind]
    training, judging = JobFiles(root, "train", cell.path, now), JobFiles(root, evaluation, cell.path, now)
    waits_for = tuple(name for name, file in cell.needs if not file.is_file())
    about = judging if trained and cell.reported else training
    if trained:
        state, reason = _evaluation(root, cell, judging)
        if state == "trained" and cell.steps:
            state, reason, about = _steps(root, cell, judging)
    else:
        state, reason = _training(training, waiting=bool(waits_for))
    running = state == "training"
    progress = read_progress(run_dir, training.begun if running else None)
    manifest = read_object(run_dir / "manifest.json") or {}
    return CellState(
        cell,
        state,
        rule=about.rule,
        trained=trained,
        progress=progress,
        seconds_left=progress.seconds_left(now) if running else None,
        attempts=tuple(training.attempts),
        evaluations=tuple(judging.attempts),
        restarts=max(len(training.attempts) - 1, int(number(manifest.get("resumed")) or 0)),
        reason=reason,
        waits_for=waits_for if state == "waiting" else (),
        checkpoint=None if trained or state in ("waiting", "ready") else last_checkpoint(run_dir),
        wall_seconds=number((read_object(sentinel) or {}).get("wall_seconds")),
        run_dir=run_dir,
        logs=tuple(
            log for log in dict.fromkeys((*training.logs, *judging.logs, *about.logs)) if log.is_file()
        ),
    )


def _training(job: JobFiles, *, waiting: bool) -> tuple[State, str | None]:
    if job.lock is not None and job.lock.alive:
        return "training", None
    came_to = job.came_to()
    if came_to is not None:
        return came_to
    if job.attempts:
        if job.now - job.attempts[-1].last_heard <= STALE:
            return "training", "it has ended well and is being validated"
        return "failed", job.with_last_words("it ended well, but there is no sentinel")
    return ("waiting" if waiting else "ready"), None


def _evaluation(root: Path, cell: ExpectedCell, job: JobFiles) -> tuple[State, str | None]:
    """What a trained cell is doing."""
    folder = root / "results" / cell.path
    if not cell.reported:
        return "trained", None
    if all((folder / name).is_file() for name in cell.files):
        return "evaluated", None
    if job.lock is not None and job.lock.alive:
        return "evaluating", None
    state, reason = job.came_to() or ("trained", None)
    if state == "queued":
        return "trained", "its evaluation is queued" + (f": {reason}" if reason else "")
    return state, f"evaluation: {reason}" if reason else None


def _steps(root: Path, cell: ExpectedCell, judging: JobFiles) -> tuple[State, str | None, JobFiles]:
    """What a trained cell is doing whose checkpoints are evaluated too, and the job that this is about.

    Of the evaluation of the model at the end, ``judging``, there is nothing to tell but that it waits.
    """
    summaries = {step: root / "steps" / cell.path / str(step) / FILES["model"][0] for step in cell.steps}
    missing = [step for step, summary in summaries.items() if not summary.is_file()]
    job = JobFiles(root, OF_STEPS, cell.path, judging.now)
    count = f"{len(cell.steps) - len(missing)} of {len(cell.steps)} checkpoints evaluated"
    if job.lock is not None and job.lock.alive:
        return "evaluating", count, job
    state, reason = job.came_to() or ("trained", None)
    if state not in ("trained", "queued"):
        which = f"evaluation of step {missing[0]}" if missing else "evaluation of checkpoints"
        return state, f"{which}: {reason}", job
    waiting = (state == "queued") + judging.queued()
    return "trained", f"{count}, {waiting} queued" if waiting else count, judging
