"""Every state, by files exactly as the workflow and its jobs leave them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataflex.evidence.results import Kind
from dataflex.watching.expected import ExpectedCell
from dataflex.watching.overview import Overview, look
from dataflex.watching.states import CellState, cell_state

from .conftest import SUFFIX, Rung, trainer_line, write_trainer_log

START = {"event": "start", "host": "node1", "pid": 1, "slurm_job": "7", "slurm_restart": 0, "attempt": 1}


def begin(rung: Rung, ago: float = 60, rule: str = "train") -> None:
    rung.events("natural", START | {"time": ago}, rule=rule)


def end(rung: Rung, status: int, reason: str | None = None, ago: float = 300, rule: str = "train") -> None:
    last = {"event": "end", "time": ago, "status": status, "reason": reason}
    rung.events("natural", START | {"time": 600}, last, rule=rule)


def of(rung: Rung, method: str = "natural") -> CellState:
    return {cell.cell.name.split(".")[0]: cell for cell in look(rung.root).cells}[method]


def waiting(rung: Rung) -> None:
    rung.write("corpus.ready.json", {})


def ready(rung: Rung) -> None:
    rung.ready()


def queued(rung: Rung) -> None:
    rung.job("natural", submitted=30)


def queued_again(rung: Rung) -> None:
    end(rung, -9)
    rung.job("natural", submitted=30)


def training(rung: Rung) -> None:
    begin(rung)
    rung.lock("natural", silent=8)


def training_in_a_job(rung: Rung) -> None:
    rung.job("natural", submitted=30)
    training(rung)


def sealing(rung: Rung) -> None:
    end(rung, 0, ago=3)


def training_without_attempts(rung: Rung) -> None:
    (rung.run_dir("natural") / "manifest.json").write_text('{"status": "running"}')


def interrupted(rung: Rung) -> None:
    end(rung, 75, "time limit")


def requeued_by_slurm(rung: Rung) -> None:
    rung.job("natural", submitted=700, slurm_job="7")
    end(rung, 75, "preempted")


def lost(rung: Rung) -> None:
    begin(rung, 600)
    rung.lock("natural", silent=300)


def lost_without_a_lock(rung: Rung) -> None:
    begin(rung, 600)


def lost_job(rung: Rung) -> None:
    rung.job("natural", submitted=700, slurm_job="7")
    lost(rung)


def failed(rung: Rung) -> None:
    end(rung, 1)
    rung.log("natural", "step 1\nerror: the corpus has no domain 'wiki'\nbye\n")


def failed_before_its_own_log(rung: Rung) -> None:
    rung.job("natural", submitted=700, slurm_job="7")
    end(rung, 1)
    rung.write("slurm.log", "slurmstepd: error: no such container\n")


def failed_with_a_stale_lock(rung: Rung) -> None:
    end(rung, 2, "exit")
    rung.lock("natural", silent=500)


def ended_without_a_sentinel(rung: Rung) -> None:
    end(rung, 0)
    rung.log("natural", "error: the manifest's status is 'running'\n")


def trained(rung: Rung) -> None:
    end(rung, 0)
    rung.done("natural")


def half_evaluated(rung: Rung) -> None:
    trained(rung)
    rung.results("natural", without="documents.jsonl")


def evaluation_queued(rung: Rung) -> None:
    trained(rung)
    rung.job("natural", submitted=10, rule="evaluate")


def evaluating(rung: Rung) -> None:
    trained(rung)
    begin(rung, rule="evaluate")
    rung.lock("natural", silent=2, rule="evaluate")


def evaluating_without_a_lock(rung: Rung) -> None:
    trained(rung)
    begin(rung, rule="evaluate")


def evaluation_failed(rung: Rung) -> None:
    trained(rung)
    end(rung, 1, rule="evaluate")
    rung.log("natural", "KeyError: 'x'\n", rule="evaluate")


def evaluation_lost(rung: Rung) -> None:
    trained(rung)
    begin(rung, 4000, rule="evaluate")
    rung.lock("natural", silent=3600, rule="evaluate")


def evaluated(rung: Rung) -> None:
    trained(rung)
    rung.results("natural")


STATES: list[tuple[Callable[[Rung], None], str, str | None]] = [
    (waiting, "waiting", None),
    (ready, "ready", None),
    (queued, "queued", None),
    (queued_again, "queued", None),
    (training, "training", None),
    (training_in_a_job, "training", None),
    (sealing, "training", "it has ended well and is being validated"),
    (training_without_attempts, "training", None),
    (interrupted, "interrupted", "time limit"),
    (requeued_by_slurm, "interrupted", "preempted"),
    (lost, "lost", "no heartbeat for 5 min 00 s on node1 (job 7)"),
    (lost_without_a_lock, "lost", "no heartbeat for 10 min 00 s on node1 (job 7)"),
    (lost_job, "lost", "no heartbeat for 5 min 00 s on node1 (job 7)"),
    (failed, "failed", "exit status 1 on node1: error: the corpus has no domain 'wiki'"),
    (failed_before_its_own_log, "failed", "exit status 1 on node1: slurmstepd: error: no such container"),
    (failed_with_a_stale_lock, "failed", "exit status 2 on node1: exit"),
    (
        ended_without_a_sentinel,
        "failed",
        "it ended well, but there is no sentinel: error: the manifest's status is 'running'",
    ),
    (trained, "trained", None),
    (half_evaluated, "trained", None),
    (evaluation_queued, "trained", "its evaluation is queued"),
    (evaluating, "evaluating", None),
    (evaluating_without_a_lock, "evaluating", None),
    (evaluation_failed, "failed", "evaluation: exit status 1 on node1: KeyError: 'x'"),
    (evaluation_lost, "lost", "evaluation: no heartbeat for 1 h 00 min on node1 (job 7)"),
    (evaluated, "evaluated", None),
]


@pytest.mark.parametrize(("make", "state", "reason"), STATES, ids=[make.__name__ for make, _, _ in STATES])
def test_a_state_and_its_reason(
    rung: Rung, make: Callable[[Rung], None], state: str, reason: str | None
) -> None:
    make(rung)
    cell = of(rung)
    # A second may pass while it is looked at.
    assert (cell.state, (cell.reason or "").replace("01 s", "00 s")) == (state, reason or "")
    assert json.loads(json.dumps(cell.as_dict(), allow_nan=False))["state"] == state


def test_why_slurm_lets_a_job_wait(rung: Rung) -> None:
    rung.job("natural", submitted=7200)
    rung.pending(f"train/mixture/natural{SUFFIX}", "QOSMaxJobsPerUserLimit", ago=3600)
    assert of(rung).reason == "QOSMaxJobsPerUserLimit for 1 h 00 min"
    rung.pending(f"train/mixture/natural{SUFFIX}", None)
    assert (of(rung).state, of(rung).reason) == ("queued", None)
    trained(rung)
    rung.job("natural", submitted=7200, rule="evaluate")
    rung.pending(f"evaluate/mixture/natural{SUFFIX}", "QOSMaxJobsPerUserLimit", ago=3600)
    assert of(rung).reason == "its evaluation is queued: QOSMaxJobsPerUserLimit for 1 h 00 min"


def test_what_a_cell_waits_for(rung: Rung) -> None:
    assert of(rung, "doremi").waits_for == ("corpus", "tiny", f"mixture/proxy{SUFFIX}")
    rung.ready()
    rung.done("natural")
    assert of(rung, "doremi").waits_for == (f"mixture/proxy{SUFFIX}",)
    assert of(rung, "doremi").state == "waiting"
    assert of(rung, "proxy").state == "ready"
    rung.done("proxy")
    assert of(rung, "doremi").state == "ready"


def test_a_cell_that_serves_others_needs_no_evaluation(rung: Rung) -> None:
    rung.done("proxy")
    assert of(rung, "proxy").finished
    rung.done("natural")
    assert not of(rung).finished


@pytest.mark.parametrize(
    ("kind", "rule"), [("model", "evaluate"), ("mixture", "measure"), ("selection", "mark")]
)
def test_each_kind_has_its_own_results(rung: Rung, kind: Kind, rule: str) -> None:
    cell = ExpectedCell("mixture", f"natural{SUFFIX}", kind)
    rung.done("natural")
    assert (cell_state(rung.root, cell, rung.now).state, cell_state(rung.root, cell, rung.now).rule) == (
        "trained",
        rule,
    )
    rung.results("natural", kind)
    assert cell_state(rung.root, cell, rung.now).state == "evaluated"


def test_restarts_and_why(rung: Rung) -> None:
    rung.events(
        "natural",
        START | {"time": 900},
        {"event": "end", "time": 800, "status": 75, "reason": "time limit"},
        START | {"time": 700},
        START | {"time": 600},
        {"event": "end", "time": 500, "status": -9, "reason": None},
        START | {"time": 60},
    )
    rung.lock("natural", silent=1)
    cell = of(rung)
    assert (cell.state, cell.restarts) == ("training", 3)
    assert cell.why_restarted() == [
        "time limit",
        "died without a word on node1",
        "killed by SIGKILL on node1",
    ]
    assert [attempt["status"] for attempt in cell.as_dict()["attempts"]] == [75, None, -9, None]


def test_restarts_that_only_the_manifest_knows(rung: Rung) -> None:
    (rung.run_dir("natural") / "manifest.json").write_text('{"resumed": 2, "stretches": []}')
    assert of(rung).restarts == 2


def test_only_what_trains_has_time_left(rung: Rung) -> None:
    lines = [trainer_line(step, 100, 2 * step) for step in (10, 20)]
    training(rung)
    write_trainer_log(rung.run_dir("natural"), *lines, written=rung.now)
    assert of(rung).seconds_left == pytest.approx(160, abs=2)
    end(rung, 75)
    rung.lock("natural", silent=500)
    assert of(rung).seconds_left is None
    assert of(rung).progress.step == 20


def test_the_logs_that_exist(rung: Rung) -> None:
    own = rung.log("natural", "x")
    rung.job("natural", submitted=5)
    assert of(rung).logs == (own,)
    slurm = rung.write("slurm.log", "x")
    assert of(rung).logs == (own, slurm)


def test_the_whole_grid(rung: Rung) -> None:
    """An estimate is made where every cell that is not trained shows its pace, and nowhere else."""

    def view() -> Overview:
        return look(rung.root)

    assert view().training_left() == (None, "no estimate for the whole: 4 cells are not training")
    for method in ("natural", "uniform", "proxy"):
        rung.done(method)
    assert view().training_left()[1] == "no estimate for the whole: 1 cell is not training"
    rung.events("doremi", START | {"time": 60})
    rung.lock("doremi", silent=1)
    assert view().training_left()[1] == "no estimate for the whole: 1 cell is yet to show a pace"
    lines = [trainer_line(step, 100, step) for step in (10, 20)]
    write_trainer_log(rung.run_dir("doremi"), *lines, written=rung.now)
    seconds, sentence = view().training_left()
    assert seconds == pytest.approx(80, abs=2)
    assert sentence.startswith("all trained in about 1 min")
    assert view().counts() | {"restarts": 0} == {
        "cells": 4,
        "trained": 3,
        "to_evaluate": 3,
        "evaluated": 0,
        "running": 1,
        "queued": 0,
        "interrupted": 0,
        "lost": 0,
        "failed": 0,
        "restarts": 0,
    }
    (rung.root / f"attempts/train/mixture/doremi{SUFFIX}.lock").unlink()
    rung.done("doremi")
    assert view().training_left() == (None, "every cell is trained")
    assert not view().finished
    for method in ("natural", "uniform", "doremi"):
        rung.results(method)
    assert view().finished


FILES = [
    f"attempts/train/mixture/natural{SUFFIX}.jsonl",
    f"jobs/train/mixture/natural{SUFFIX}.json",
    f"attempts/train/mixture/natural{SUFFIX}.lock",
    f"train/mixture/natural{SUFFIX}/manifest.json",
    f"logs/train/mixture/natural{SUFFIX}.log",
    "grid.json",
]


@pytest.mark.parametrize("name", FILES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12, deadline=None)
@given(data=st.data())
def test_any_file_cut_anywhere_can_be_looked_at(
    rung: Rung, tmp_path: Path, name: str, data: st.DataObject
) -> None:
    shutil.rmtree(rung.root)
    rung.root.mkdir()
    rung.write("grid.json", {"grid": "reproductions/little.yaml", "seeds": [1], "methods": ["natural"]})
    rung.job("natural", submitted=5)
    rung.lock("natural", silent=500)
    rung.log("natural", "Übergröße\nerror: ✗\n")
    manifest = {"stretches": [{"from_step": 0}, {"from_step": 4}], "resumed": 1, "total_steps": 9}
    (rung.run_dir("natural") / "manifest.json").write_text(json.dumps(manifest))
    rung.events(
        "natural",
        START | {"time": 600},
        {"event": "end", "time": 300, "status": 1, "reason": None},
        START | {"time": 200},
    )
    content = (rung.root / name).read_bytes()
    (rung.root / name).write_bytes(content[: data.draw(st.integers(0, len(content)))])
    for cell in look(rung.root).cells:
        assert cell.state in ("queued", "lost", "failed", "training")
        json.dumps(cell.as_dict(), allow_nan=False)
