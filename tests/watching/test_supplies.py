"""What is taken, made and checked before the trainings, and why nothing starts."""

import copy
import io
import json
import os
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from dataflex import grid as grids
from dataflex.watching.expected import expected
from dataflex.watching.overview import Overview, look
from dataflex.watching.show import render
from dataflex.watching.supplies import SupplyState

from .conftest import GRID, Rung

REPRODUCTIONS = Path(__file__).resolve().parent.parent.parent / "reproductions"
START = {"event": "start", "host": "node1", "pid": 1, "slurm_job": "7", "attempt": 1}
TAKEN = "models/org/base"


@pytest.fixture
def large(rung: Rung) -> Rung:
    """A rung whose cells train a model that is taken, on GPUs, once a preflight has passed."""
    grid = copy.deepcopy(GRID)
    grid["models"]["base"] = {"hub": {"repo": "org/base", "revision": "d" * 40}}
    grid["experiments"]["mixture"]["models"] = ["base"]
    grid["experiments"]["mixture"]["resources"] = {"train": {"gpus": 8}}
    score = {"corpus": "corpus", "band": [0.5, 0.6], "source": "a test"}
    grid["preflight"] = {"scores": {"base": score}}
    Path("reproductions/little.yaml").write_text(yaml.safe_dump(grid, sort_keys=False))
    return rung


def of(rung: Rung, rule: str) -> SupplyState:
    (found,) = (one for one in look(rung.root).supplies if one.supply.rule == rule)
    return found


def text(view: Overview, *, brief: bool = False) -> str:
    stream = io.StringIO()
    Console(file=stream, width=160).print(render(view, 160, brief=brief), crop=False)
    return stream.getvalue()


def aged(file: Path, rung: Rung, seconds: float) -> None:
    os.utime(file, (rung.now - seconds, rung.now - seconds))


def attempt(rung: Rung, place: str, *events: dict) -> None:
    known = [{**event, "time": rung.now - event["time"]} for event in events]
    rung.write(f"attempts/{place}.jsonl", "".join(json.dumps(event) + "\n" for event in known))


def taken(rung: Rung) -> None:
    rung.write(f"assets/{TAKEN}.ready.json", {})


def test_each_job_and_what_it_waits_for(large: Rung) -> None:
    found = {one.supply.rule: one for one in look(large.root).supplies}
    assert {rule: one.state for rule, one in found.items()} == {
        "asset": "ready",
        "corpus": "ready",
        "preflight_checks": "waiting",
        "preflight_devices": "ready",
        "preflight_score": "waiting",
    }
    assert found["preflight_checks"].as_dict()["waits_for"] == [TAKEN, "corpus"]
    cell = look(large.root).cells[0]
    assert cell.waits_for == (
        "corpus",
        TAKEN,
        "preflight_checks mixture.harvest",
        "preflight_devices mixture.harvest",
        "preflight_score base",
    )


def test_a_cell_is_ready_when_the_preflight_has_passed(large: Rung) -> None:
    large.write("corpus.ready.json", {})
    taken(large)
    large.write("preflight/mixture.harvest.json", {})
    large.write("preflight/models/base.json", {})
    assert look(large.root).cells[0].waits_for == ("preflight_devices mixture.harvest",)
    large.write("preflight/devices/mixture.harvest.json", {})
    assert look(large.root).cells[0].state == "ready"
    assert "before the trainings" not in text(look(large.root))


def test_a_corpus_runs_waits_in_the_queue_fails_and_is_lost(large: Rung) -> None:
    large.write("jobs/corpus/corpus.json", {"slurm_job": "8", "submitted": large.now - 9000})
    large.pending("corpus/corpus", "Resources", ago=7200)
    assert (of(large, "corpus").state, of(large, "corpus").reason) == ("queued", "Resources for 2 h 00 min")
    attempt(large, "corpus/corpus", START | {"time": 60})
    large.write("attempts/corpus/corpus.lock", {"host": "node1"})
    assert of(large, "corpus").state == "running"
    aged(large.root / "attempts/corpus/corpus.lock", large, 400)
    assert of(large, "corpus").state == "lost"
    end = {"event": "end", "time": 30, "status": 1, "reason": "dataflex-cli corpus: exit status 1"}
    attempt(large, "corpus/corpus", START | {"time": 60}, end)
    assert of(large, "corpus").state == "failed"
    assert "exit status 1" in (of(large, "corpus").reason or "")
    large.write("corpus.ready.json", {})
    assert of(large, "corpus").state == "done"


def test_a_silent_download_runs_as_long_as_its_lock_beats(large: Rung) -> None:
    log = large.write(f"logs/asset/{TAKEN}.log", "")
    aged(log, large, 9000)
    attempt(large, f"asset/{TAKEN}", START | {"time": 9000, "slurm_job": None})
    lock = large.write(f"attempts/asset/{TAKEN}.lock", {"host": "login1"})
    assert of(large, "asset").state == "running"
    aged(lock, large, 500)
    assert of(large, "asset").state == "lost"
    lock.unlink()
    end = {"event": "end", "time": 30, "status": 75, "reason": "told to stop, it ended at once (15)"}
    attempt(large, f"asset/{TAKEN}", START | {"time": 9000}, end)
    assert of(large, "asset").state == "interrupted"


def test_what_stopped_a_command_is_told_in_its_own_words(large: Rung) -> None:
    end = {"event": "end", "time": 30, "status": 2, "reason": "dataflex-cli assets: exit status 2"}
    attempt(large, f"asset/{TAKEN}", START | {"time": 60}, end)
    gate = "dataflex-cli: org/base is gated: accept its licence"
    large.write(f"logs/asset/{TAKEN}.log", f"{gate}\n")
    assert (of(large, "asset").state, of(large, "asset").reason) == ("failed", gate)
    # A script that only repeats how the command ended says less than the record of its attempts.
    attempt(large, "corpus/corpus", START | {"time": 60}, end)
    large.write("logs/corpus/corpus.log", f"error: {end['reason']}\n")
    assert of(large, "corpus").reason == f"exit status 2 on node1: {end['reason']}"


def test_checks_of_seconds_are_known_by_their_log(large: Rung) -> None:
    large.write("corpus.ready.json", {})
    taken(large)
    log = large.write("logs/preflight_checks/mixture.harvest.log", "disk: ok\n")
    assert of(large, "preflight_checks").state == "running"
    aged(log, large, 500)
    told = "it has ended without what it was to leave: disk: ok"
    assert (of(large, "preflight_checks").state, of(large, "preflight_checks").reason) == ("failed", told)


def test_why_nothing_starts_is_told_at_the_experiment(large: Rung) -> None:
    # What is below a preflight that waits, not the preflight.
    assert "\n  waits for corpus corpus: ready\n" in text(look(large.root))
    large.write("corpus.ready.json", {})
    taken(large)
    log = large.write(
        "logs/preflight_checks/mixture.harvest.log", "error: preflight of mixture.harvest failed: disk\n"
    )
    told = text(look(large.root))
    # Devices and score are missing, too, but nothing is wrong with them.
    why = "error: preflight of mixture.harvest failed: disk"
    assert f"\n  waits for preflight_checks mixture.harvest: failed: {why}\n" in told
    assert "before the trainings: 2 ready, 1 failed, 2 done" in told
    assert f"    {why}" in told.splitlines()
    assert f"    log: {log}" in told.splitlines()


def test_a_cell_waits_for_another_one(large: Rung) -> None:
    for one in look(large.root).supplies:
        large.write(str(one.supply.sentinel.relative_to(large.root)), {})
    large.done("natural")
    end = {"event": "end", "time": 30, "status": 1, "reason": "out of memory"}
    cell = "mixture/proxy.base.harvest.seed1"
    attempt(large, f"train/{cell}", START | {"time": 60}, end)
    assert f"  waits for train {cell}: failed: exit status 1 on node1: out of memory" in text(
        look(large.root)
    )


def test_a_corpus_of_ones_own_files_waits_for_no_data_set() -> None:
    grid = grids.load(REPRODUCTIONS / "paper.yaml")
    whole = expected_names(grid, ())
    own = expected_names(grid, ("slimpajama_6b", "slimpajama_30b"))
    assert whole - own == {"datasets/cerebras/SlimPajama-627B"}


def expected_names(grid: dict, own: tuple[str, ...]) -> set[str]:
    from dataflex.watching.supplies import supplies

    return {one.name for one in supplies(grid, Path("r"), grids.cells(grid), own) if one.rule == "asset"}


def test_the_papers_jobs_before_its_trainings_are_those_of_the_workflow(tmp_path: Path) -> None:
    rules = [one.rule for one in expected(tmp_path, REPRODUCTIONS / "paper.yaml").supplies]
    assert {rule: rules.count(rule) for rule in rules} == {
        "asset": 9,
        "corpus": 3,
        "preflight_checks": 3,
        "preflight_devices": 3,
        "preflight_score": 2,
    }
