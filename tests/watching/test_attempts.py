import os
from pathlib import Path

import pytest

from dataflex.watching.attempts import Attempt, Submission, read_attempts, read_lock, read_submission

from .conftest import Rung

START = {
    "event": "start",
    "time": 50,
    "host": "node1",
    "pid": 1,
    "slurm_job": "7",
    "slurm_restart": 0,
    "attempt": 1,
}
PLACE = "attempts/train/mixture/natural.tiny.harvest.seed1.jsonl"


def outcomes(rung: Rung) -> list[str]:
    return [attempt.outcome() for attempt in read_attempts(rung.root / PLACE)]


def test_starts_and_ends_are_paired(rung: Rung) -> None:
    rung.events(
        "natural",
        START | {"time": 90},
        {"event": "end", "time": 80, "status": 75, "reason": "time limit"},
        START | {"time": 70, "host": "node2"},
        START | {"time": 60, "host": "node3", "slurm_job": None},
    )
    first, second, third = read_attempts(rung.root / PLACE)
    assert (first.over, first.status, first.host, first.slurm_job) == (True, 75, "node1", "7")
    assert first.ended == pytest.approx(rung.now - 80)
    assert (second.over, second.outcome()) == (False, "died without a word on node2")
    assert (third.over, third.slurm_job) == (False, None)
    assert third.last_heard == pytest.approx(rung.now - 60)


@pytest.mark.parametrize(
    ("status", "reason", "outcome"),
    [
        (0, None, "ended well"),
        (75, None, "interrupted with a checkpoint on node1"),
        (75, "time limit in 90 s", "time limit in 90 s"),
        (-9, None, "killed by SIGKILL on node1"),
        (137, "out of memory", "killed by SIGKILL on node1: out of memory"),
        (1, "error: no space left on device", "exit status 1 on node1: error: no space left on device"),
        (2, None, "exit status 2 on node1"),
        (255, None, "exit status 255 on node1"),
        ("?", None, "ended on node1"),
    ],
)
def test_how_an_attempt_ended(rung: Rung, status: object, reason: str | None, outcome: str) -> None:
    rung.events("natural", START, {"event": "end", "time": 10, "status": status, "reason": reason})
    assert outcomes(rung) == [outcome]


def test_lines_that_are_lost_or_strange(rung: Rung) -> None:
    """An end alone, an event without a time, another writer's line and a half one."""
    rung.write(
        PLACE,
        '{"event": "end", "time": 5, "status": 1, "reason": null}\n{"event": "start"}\n'
        '{"event": "hello"}\n[1]\n{"event": "end", "status"',
    )
    alone, begun = read_attempts(rung.root / PLACE)
    assert (alone.started, alone.outcome()) == (None, "exit status 1")
    assert (begun.over, begun.last_heard) == (False, 0.0)


def test_a_lock_lives_by_its_heartbeat(rung: Rung) -> None:
    file = rung.root / "attempts/train/mixture/natural.tiny.harvest.seed1.lock"
    assert read_lock(file, rung.now) is None
    rung.lock("natural", silent=119)
    lock = read_lock(file, rung.now)
    assert lock is not None
    assert lock.alive
    rung.lock("natural", silent=150)
    lock = read_lock(file, rung.now)
    assert lock is not None
    assert not lock.alive
    assert lock.loss() == "no heartbeat for 2 min 30 s on node1 (job 7)"
    # Another machine's clock is ahead; the lock is being written.
    file.write_text('{"ho')
    os.utime(file, (rung.now + 30, rung.now + 30))
    lock = read_lock(file, rung.now)
    assert lock is not None
    assert (lock.host, lock.silent) == (None, 0.0)


def test_a_job_waits_until_it_starts(tmp_path: Path) -> None:
    before, own = Attempt(10.0, "a", "7", over=True, ended=20.0, status=1), Attempt(40.0, "a", "8")
    job = Submission("8", 30.0, None)
    assert job.waits([])
    assert job.waits([before])
    assert not job.waits([before, own])
    # It ran before, and Slurm put it into the queue again under the same number.
    assert not Submission("7", 5.0, None).waits([before])
    assert not Submission(None, 15.0, None).waits([before])
    (tmp_path / "job.json").write_text('{"slurm_job": 8, "submitted": "x", "log": "l"}')
    assert read_submission(tmp_path / "job.json") == Submission("8", 0.0, "l")
    assert read_submission(tmp_path / "none.json") is None
