"""One writer of a cell: real processes that hold a lock, die, and are waited for."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import attempts
import pytest
from alone import claim
from lock import Lock

SCRIPTS = Path(__file__).resolve().parent.parent.parent / "workflow/scripts"


def ignore():
    pass


def in_process(code, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


HOLD = """
from pathlib import Path; from lock import Lock
lock = Lock(Path({file!r}), beat=0.05); lock.acquire(lambda: None); print("held", flush=True); input(); lock.release()
"""


@pytest.fixture
def file(tmp_path):
    return tmp_path / "cell.lock"


def test_a_second_writer_waits_for_the_first(file):
    first = in_process(HOLD.format(file=str(file)))
    assert first.stdout.readline() == "held\n"
    second = in_process(HOLD.format(file=str(file)))
    time.sleep(1)
    holder = json.loads(file.read_text())
    assert holder["pid"] == first.pid
    first.communicate("\n")
    assert "held" in second.communicate("\n")[0]
    assert not file.exists()


def test_a_killed_writer_is_not_waited_for(file):
    first = in_process(HOLD.format(file=str(file)))
    first.stdout.readline()
    first.kill()
    first.wait()
    assert file.exists()
    lock = Lock(file)
    assert lock.acquire(ignore) is False
    lock.release()
    assert not file.exists()


def test_the_same_number_of_another_process_is_another_process(file):
    file.write_text(json.dumps({"host": os.uname().nodename, "pid": os.getpid(), "began": 1.0, "token": "t"}))
    lock = Lock(file)
    assert lock.acquire(ignore) is False
    lock.release()


def test_a_writer_elsewhere_counts_until_its_heart_stops(file):
    elsewhere = {"host": "elsewhere", "pid": 1, "began": 1.0, "slurm_job": None, "token": "t"}
    file.write_text(json.dumps(elsewhere))
    said = []
    lock = Lock(file, beat=0.05, silence=1.0)
    begin = time.monotonic()
    assert lock.acquire(ignore, said.append) is True
    assert time.monotonic() - begin > 0.9
    assert len(said) == 1
    assert "process 1 on elsewhere" in said[0]
    lock.release()


def test_a_job_of_slurms_that_was_started_again_takes_its_own_lock(file, monkeypatch):
    holder = {"host": "elsewhere", "pid": 1, "began": 1.0, "slurm_job": "7", "slurm_restart": 0, "token": "t"}
    file.write_text(json.dumps(holder))
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    lock = Lock(file, silence=1e9)
    assert lock.acquire(ignore) is False
    lock.release()


def test_many_writers_hold_it_one_at_a_time(file, tmp_path):
    """Each reads a number, waits, and writes it back raised: with two at once one would be lost."""
    number = tmp_path / "number"
    number.write_text("0")
    code = f"""
import time; from pathlib import Path; from lock import Lock
lock = Lock(Path({str(file)!r}), beat=0.02)
for _ in range(5):
    lock.acquire(lambda: None, lambda text: None)
    value = int(Path({str(number)!r}).read_text()); time.sleep(0.01); Path({str(number)!r}).write_text(str(value + 1))
    lock.release(); lock = Lock(Path({str(file)!r}), beat=0.02)
"""
    processes = [in_process(code) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    assert number.read_text() == "20"
    assert [path.name for path in tmp_path.iterdir()] == ["number"]


def test_a_lock_that_is_put_back_in_time_is_not_lost(file):
    told = []
    lock = Lock(file, beat=0.1)
    lock.acquire(lambda: told.append(True))
    os.rename(file, file.with_suffix(".aside"))
    time.sleep(0.15)
    os.rename(file.with_suffix(".aside"), file)
    time.sleep(0.5)
    assert not told
    lock.release()
    assert not file.exists()


def test_the_lock_of_another_is_not_overlooked(file):
    told = []
    lock = Lock(file, beat=0.05, silence=60)
    lock.acquire(lambda: told.append(True))
    file.write_text(json.dumps({"token": "another's"}))
    time.sleep(0.5)
    assert told
    lock.release()
    assert file.exists()


def test_who_lost_the_lock_is_told(file):
    told = []
    lock = Lock(file, beat=0.05)
    lock.acquire(lambda: told.append(True))
    file.unlink()
    deadline = time.monotonic() + 5
    while not told and time.monotonic() < deadline:
        time.sleep(0.05)
    assert told
    lock.release()


def hold(tmp_path, *command, **environment):
    words = ["--lock", str(tmp_path / "x.lock"), "--attempts", str(tmp_path / "x.jsonl"), "--", *command]
    return subprocess.Popen(
        [sys.executable, str(SCRIPTS / "hold.py"), *words], env={**os.environ, **environment}, text=True
    )


def test_attempts_are_noted_with_their_ends(tmp_path):
    assert hold(tmp_path, "true").wait() == 0
    assert hold(tmp_path, "sh", "-c", "exit 75").wait() == 75
    assert hold(tmp_path, "sh", "-c", "kill -9 $$").wait() == 128 + 9
    events = attempts.read(tmp_path / "x.jsonl")
    assert [event["event"] for event in events] == ["start", "end"] * 3
    assert [event["status"] for event in events[1::2]] == [0, 75, -9]
    assert [event["attempt"] for event in events[::2]] == [1, 2, 3]
    assert [event["reason"] for event in events[1::2]] == [None, "sh -c: exit status 75", "sh -c: signal 9"]
    assert not (tmp_path / "x.lock").exists()


def test_signals_are_handed_on_and_their_answer_is_told(tmp_path):
    code = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(75)); "
    code += "print('ready', flush=True); time.sleep(60)"
    process = hold(tmp_path, "sh", "-c", f'exec {sys.executable} -c "{code}" > {tmp_path}/said')
    while not (tmp_path / "said").exists() or not (tmp_path / "said").read_text():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 75
    assert attempts.read(tmp_path / "x.jsonl")[-1]["status"] == 75


def test_a_line_after_a_torn_one_is_whole(tmp_path):
    file = tmp_path / "x.jsonl"
    attempts.began(file)
    file.write_text(file.read_text()[:-20])
    attempts.began(file)
    attempts.ended(file, 0, None)
    assert [event["event"] for event in attempts.read(file)] == ["start", "end"]


def test_one_workflow_on_a_folder(tmp_path):
    code = f"from pathlib import Path; from alone import claim; claim(Path({str(tmp_path / 'w.lock')!r})); "
    other = in_process(code + "print('held', flush=True); input()")
    other.stdout.readline()
    with pytest.raises(BlockingIOError, match=f"at work on .*process {other.pid} on"):
        claim(tmp_path / "w.lock")
    other.kill()
    other.wait()
    claim(tmp_path / "w.lock")
