"""Corpora, models and results that several commands make: one writer at a time, sealed last, ends noted."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import hold
import make
import pytest
import seal

SCRIPT = Path(__file__).resolve().parent.parent.parent / "workflow/scripts/make.py"
CARD = {"family": "f", "data": {"planted": {"sha256": hashlib.sha256(b"x").hexdigest()}}}
WRITES = f"""
import pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
folder.mkdir()
(folder / "planted.jsonl").write_text("x")
open("made", "a").write("once\\n")
pathlib.Path("begun").touch()
time.sleep(float(sys.argv[2]))
for name in ("planted.json", "dataset_info.json"):
    (folder / name).write_text("{{}}")
(folder / "card.json").write_text({json.dumps(CARD)!r})
"""


HELD = ["--lock", "attempts/pool.lock", "--attempts", "attempts/pool.jsonl"]


def start(folder, *words):
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *HELD, *words], cwd=folder, stderr=subprocess.PIPE, text=True
    )


def arguments(seconds=0.0):
    sealed = ["--clear", "pool", "--seal", "planted", "pool", "--output", "pool.ready.json"]
    return [*sealed, "--", sys.executable, "-c", WRITES, "pool", str(seconds)]


def making(folder, seconds=0.0):
    return start(folder, *arguments(seconds))


def ends(folder):
    events = [json.loads(line) for line in (folder / "attempts/pool.jsonl").read_text().splitlines()]
    return [(event["status"], event["reason"]) for event in events if event["event"] == "end"]


def test_what_an_interrupted_job_left_is_cleared_and_the_rest_is_sealed(tmp_path):
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool/half").touch()
    assert making(tmp_path).wait() == 0
    assert not (tmp_path / "pool/half").exists()
    assert json.loads((tmp_path / "pool.ready.json").read_text())["fingerprint"] == "f"
    assert ends(tmp_path) == [(0, None)]


def test_a_second_job_leaves_the_folder_of_a_living_first_one_alone(tmp_path):
    first = making(tmp_path, seconds=3)
    while not (tmp_path / "begun").exists():
        time.sleep(0.05)
    second = making(tmp_path, seconds=3)
    time.sleep(1)
    assert (tmp_path / "pool/planted.jsonl").read_text() == "x"
    assert first.wait() == 0, first.stderr.read()
    assert second.wait() == 0
    assert "waiting for another writer" in second.stderr.read()
    assert ends(tmp_path) == [(0, None), (0, None)]
    assert (tmp_path / "made").read_text() == "once\n"


def test_a_second_job_of_another_kind_makes_it_again(tmp_path):
    first = making(tmp_path, seconds=3)
    while not (tmp_path / "begun").exists():
        time.sleep(0.05)
    # The command differs by the seconds.
    assert making(tmp_path).wait() == 0
    assert first.wait() == 0
    assert (tmp_path / "made").read_text() == "once\nonce\n"


def test_who_comes_back_after_another_has_made_it_does_nothing(tmp_path):
    assert making(tmp_path).wait() == 0
    words = [*HELD, *arguments()]
    ready = tmp_path / "pool.ready.json"
    sealed = ready.read_text()
    for again, expected in ((True, "once\n"), (False, "once\nonce\n")):
        code = f"import make, sys; sys.exit(make.make(make.parse({words!r}), {again}))"
        environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parent)}
        assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment).returncode == 0
        assert (tmp_path / "made").read_text() == expected
        assert ready.read_text() == sealed


def test_no_sentinel_stands_beside_a_folder_that_is_being_made(tmp_path):
    assert making(tmp_path).wait() == 0
    (tmp_path / "begun").unlink()
    second = making(tmp_path, seconds=3)
    while not (tmp_path / "begun").exists():
        time.sleep(0.05)
    assert not (tmp_path / "pool.ready.json").exists()
    assert second.wait() == 0


def test_a_link_in_the_folders_place_is_removed_and_not_what_it_points_to(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/mine").touch()
    (tmp_path / "pool").symlink_to("disk")
    assert making(tmp_path).wait() == 0
    assert (tmp_path / "disk/mine").exists()
    assert not (tmp_path / "pool").is_symlink()


def test_what_can_not_be_cleared_is_told_in_a_line(tmp_path):
    (tmp_path / "pool.ready.json").mkdir()
    job = making(tmp_path)
    assert job.wait() == 1
    said = job.stderr.read()
    assert said.startswith("error: ")
    assert "pool.ready.json" in said
    assert len(said.splitlines()) == 1


def test_a_lock_that_is_lost_while_it_is_validated_is_no_failure(tmp_path):
    def cleared():
        held._lost()
        raise seal.NotReadyError("card.json is missing")

    before = {name: signal.getsignal(name) for name in hold.HEARD}
    try:
        with hold.Hold(tmp_path / "x.lock", tmp_path / "x.jsonl") as held:
            assert seal.close(held, cleared, tmp_path, tmp_path / "ready") == hold.LOST
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
    assert not (tmp_path / "ready").exists()


def test_who_lost_the_lock_does_the_work_again():
    statuses = [-15, hold.LOST, hold.LOST]
    seen = []
    assert hold.persist(lambda again: (seen.append(again), statuses.pop())[1]) == 128 + 15
    assert seen == [False, True, True]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["false", ";", "touch", "late"], "false: exit status 1"),
        (["mkdir", "pool"], "pool/card.json is missing"),
    ],
)
def test_what_fails_is_told_and_not_sealed(tmp_path, words, reason):
    job = start(tmp_path, "--seal", "planted", "pool", "--output", "ready", "--", *words)
    assert job.wait() == 1
    assert f"error: {reason}" in job.stderr.read()
    assert ends(tmp_path) == [(1, reason)]
    assert not (tmp_path / "ready").exists()
    assert not (tmp_path / "late").exists()


def test_several_commands_run_in_their_order(tmp_path):
    assert start(tmp_path, "--", "mkdir", "a", ";", "touch", "a/b").wait() == 0
    assert (tmp_path / "a/b").exists()


def test_what_was_made_elsewhere_is_validated_alone(tmp_path):
    words = ["--seal", "planted", "pool", "--output", "ready"]
    assert start(tmp_path, *words).wait() == 1
    assert making(tmp_path).wait() == 0
    assert start(tmp_path, *words, "--").wait() == 0
    assert (tmp_path / "ready").is_file()


def test_an_interrupted_packed_corpus_tells_how_much_is_finished(tmp_path):
    """Without it each interruption but the first would use up a retry."""
    builds = "mkdir -p pool/packed/whole/units pool/packed/units; touch pool/packed/whole/units/{a,b,c}.json"
    builds += " pool/packed/units/a.json; kill -TERM $PPID; sleep 20"
    words = ["--seal", "packed", "pool", "--output", "ready", "--", "bash", "-c", builds]
    assert start(tmp_path, *words).wait() == 75
    assert last_checkpoint(tmp_path) == 4
    assert start(tmp_path, "--clear", "pool", *words).wait() == 75
    assert last_checkpoint(tmp_path) is None


def last_checkpoint(folder):
    return json.loads((folder / "attempts/pool.jsonl").read_text().splitlines()[-1])["checkpoint"]


@pytest.mark.parametrize("made", [True, False])
def test_what_has_no_sentinel_is_left_alone_when_another_has_made_it(tmp_path, monkeypatch, made):
    """By who was taken for dead and comes back: a failure of its would have Snakemake remove what is there."""
    monkeypatch.chdir(tmp_path)
    words = [*HELD, "--makes", "mixture.json", "--", "sh", "-c", "echo own > mixture.json"]
    if made:
        Path("mixture.json").write_text("another's\n")
    assert make.make(make.parse(words), again=True) == 0
    assert Path("mixture.json").read_text() == ("another's\n" if made else "own\n")
    # One that only waited does its own: what the other did may have been something else.
    assert make.make(make.parse(words), again=False) == 0
    assert Path("mixture.json").read_text() == "own\n"
