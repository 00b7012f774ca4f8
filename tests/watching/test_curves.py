"""Cells whose checkpoints are evaluated too: no sooner evaluated than all of it, and told what is missing."""

import copy
import json
import os
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from dataflex.watching.expected import expected
from dataflex.watching.overview import look
from dataflex.watching.show import render
from dataflex.watching.states import CellState

from .conftest import GRID, SUFFIX, Rung

CELL = f"mixture/natural{SUFFIX}"
START = {"event": "start", "host": "node1", "pid": 1, "slurm_job": "7", "attempt": 1}


@pytest.fixture
def curved(rung: Rung) -> Rung:
    """A rung whose cells are evaluated at steps 20 and 40 of 60; ``natural`` is trained and evaluated at the end."""
    grid = copy.deepcopy(GRID)
    grid["experiments"]["mixture"]["evaluate_steps"] = 20
    grid["experiments"]["mixture"]["config"] |= {
        "max_steps": 60,
        "save_steps": 10,
        "train_from_scratch": True,
    }
    Path("reproductions/little.yaml").write_text(yaml.safe_dump(grid, sort_keys=False))
    rung.ready()
    rung.done("natural")
    rung.results("natural")
    return rung


def natural(rung: Rung) -> CellState:
    return look(rung.root).cells[0]


def events(rung: Rung, *given: dict) -> None:
    known = [{**event, "time": rung.now - event["time"]} for event in given]
    rung.write(f"attempts/evaluate_steps/{CELL}.jsonl", "".join(json.dumps(event) + "\n" for event in known))


def scored(rung: Rung, *steps: int) -> None:
    for step in steps:
        rung.write(f"steps/{CELL}/{step}/metrics.json", {})


def locked(rung: Rung, silent: float) -> None:
    file = rung.write(f"attempts/evaluate_steps/{CELL}.lock", {"host": "node1", "slurm_job": "7"})
    os.utime(file, (rung.now - silent, rung.now - silent))


def none_begun(rung: Rung) -> None:
    pass


def one_scored(rung: Rung) -> None:
    scored(rung, 20)


def running(rung: Rung) -> None:
    scored(rung, 20)
    events(rung, START | {"time": 30})
    locked(rung, silent=2)


def queued(rung: Rung) -> None:
    content = {"slurm_job": "8", "submitted": rung.now - 10, "log": f"{rung.root}/slurm.log"}
    rung.write(f"jobs/evaluate_steps/{CELL}.json", content)


def failed(rung: Rung) -> None:
    scored(rung, 20)
    events(rung, START | {"time": 300}, {"event": "end", "time": 200, "status": 2, "reason": None})
    rung.write(f"logs/evaluate_steps/{CELL}.log", "error: no checkpoint of step 40\n")


def lost(rung: Rung) -> None:
    scored(rung, 20)
    events(rung, START | {"time": 4000})
    locked(rung, silent=3600)


def all_scored(rung: Rung) -> None:
    scored(rung, 20, 40)
    events(rung, START | {"time": 300}, {"event": "end", "time": 200, "status": 0, "reason": None})


def gathered(rung: Rung) -> None:
    all_scored(rung)
    rung.write(f"results/{CELL}/by_step.csv", "")


@pytest.mark.parametrize(
    ("make", "state", "reason"),
    [
        (none_begun, "trained", "0 of 2 checkpoints evaluated"),
        (one_scored, "trained", "1 of 2 checkpoints evaluated"),
        (running, "evaluating", "1 of 2 checkpoints evaluated"),
        (queued, "trained", "0 of 2 checkpoints evaluated, 1 queued"),
        (
            failed,
            "failed",
            "evaluation of step 40: exit status 2 on node1: error: no checkpoint of step 40",
        ),
        (lost, "lost", "evaluation of step 40: no heartbeat for 1 h 00 min on node1 (job 7)"),
        (all_scored, "trained", "2 of 2 checkpoints evaluated"),
        (gathered, "evaluated", None),
    ],
)
def test_a_state_and_its_reason(
    curved: Rung, make: Callable[[Rung], None], state: str, reason: str | None
) -> None:
    make(curved)
    cell = natural(curved)
    assert (cell.state, cell.reason, cell.finished) == (state, reason, state == "evaluated")
    # The steps are no cells of their own, whether or not the grid file is there to tell.
    assert len(look(curved.root).cells) == 4
    (curved.root / "grid.json").unlink()
    assert [found.path for found in expected(curved.root).cells] == [CELL]


def test_the_evaluation_of_the_model_at_the_end_is_told_first(curved: Rung) -> None:
    (curved.root / f"results/{CELL}/metrics.json").unlink()
    curved.events(
        "natural",
        START | {"time": 300},
        {"event": "end", "time": 200, "status": 1, "reason": "out of memory"},
        rule="evaluate",
    )
    running(curved)
    assert (natural(curved).state, natural(curved).reason) == (
        "failed",
        "evaluation: exit status 1 on node1: out of memory",
    )


def test_a_cell_that_only_serves_others_has_no_steps(curved: Rung) -> None:
    steps = {cell.name.split(".")[0]: cell.steps for cell in expected(curved.root).cells}
    assert steps == {"natural": (20, 40), "uniform": (20, 40), "proxy": (), "doremi": (20, 40)}


def test_the_log_is_that_of_the_job_that_failed(curved: Rung) -> None:
    curved.log("natural", "all well\n", rule="evaluate")
    assert natural(curved).rule == "evaluate"
    failed(curved)
    assert natural(curved).rule == "evaluate_steps"
    text = StringIO()
    Console(file=text, width=200).print(render(look(curved.root), 200), crop=False)
    assert f"log: {curved.root}/logs/evaluate_steps/{CELL}.log" in text.getvalue()


def test_checkpoints_are_told_while_the_model_at_the_end_waits_in_the_queue(curved: Rung) -> None:
    (curved.root / f"results/{CELL}/metrics.json").unlink()
    curved.job("natural", submitted=10, rule="evaluate")
    assert natural(curved).reason == "0 of 2 checkpoints evaluated, 1 queued"
    running(curved)
    assert (natural(curved).state, natural(curved).rule) == ("evaluating", "evaluate_steps")
