"""Corpora, models and results that several commands make: one writer at a time, sealed last, ends noted."""

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent.parent / "workflow/scripts/make.py"
CARD = {"family": "f", "data": {"planted": {"sha256": hashlib.sha256(b"x").hexdigest()}}}
WRITES = f"""
import pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
folder.mkdir()
(folder / "planted.jsonl").write_text("x")
pathlib.Path("begun").touch()
time.sleep(float(sys.argv[2]))
for name in ("planted.json", "dataset_info.json"):
    (folder / name).write_text("{{}}")
(folder / "card.json").write_text({json.dumps(CARD)!r})
"""


def start(folder, *words):
    held = ["--lock", "attempts/pool.lock", "--attempts", "attempts/pool.jsonl"]
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *held, *words], cwd=folder, stderr=subprocess.PIPE, text=True
    )


def making(folder, seconds=0.0):
    sealed = ["--clear", "pool", "--seal", "planted", "pool", "--output", "pool.ready.json"]
    return start(folder, *sealed, "--", sys.executable, "-c", WRITES, "pool", str(seconds))


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
    second = making(tmp_path)
    time.sleep(1)
    assert (tmp_path / "pool/planted.jsonl").read_text() == "x"
    assert first.wait() == 0, first.stderr.read()
    assert second.wait() == 0
    assert "waiting for another writer" in second.stderr.read()
    assert ends(tmp_path) == [(0, None), (0, None)]


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
