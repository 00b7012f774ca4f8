"""A limit of time: what Ctrl-C reaches, the deadline reaches, and a held job is asked to stop by either."""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import limit
import pytest

SCRIPT = Path(__file__).resolve().parent.parent.parent / "workflow/scripts/limit.py"
STOPS = """
import os, signal, subprocess, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
def stop(*_):
    (folder / f"{sys.argv[2]}.told").touch()
    time.sleep(0.5)
    (folder / f"{sys.argv[2]}.saved").touch()
    sys.exit(7)
signal.signal(signal.SIGINT, stop)
if sys.argv[2] == "parent":
    for name, own in (("child", False), ("apart", True)):
        subprocess.Popen([sys.executable, __file__, str(folder), name], start_new_session=own)
draft = folder / f"{sys.argv[2]}.draft"
draft.write_text(str(os.getpid()))
draft.rename(folder / f"{sys.argv[2]}.began")
time.sleep(float(sys.argv[3]) if len(sys.argv) > 3 else 60)
"""


def limited(folder, duration, *words, **options):
    script = folder / "stops.py"
    script.write_text(STOPS)
    command = [sys.executable, str(SCRIPT), duration, "--", sys.executable, str(script), str(folder), *words]
    return subprocess.Popen(command, process_group=0, **options)


def wait_for(file):
    deadline = time.monotonic() + 20
    while not file.exists():
        assert time.monotonic() < deadline, file
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("20s", 20), ("30m", 1800), ("8h", 28800), ("1.5h", 5400), ("1d", 86400)],
)
def test_durations(text, seconds):
    assert limit.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "8 h", "-3", "8hours", "nan"])
def test_what_is_no_duration(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is no duration such as 90, 30m or 8h"):
        limit.duration(text)


def test_the_deadline_interrupts_all_that_ctrl_c_would_and_waits(tmp_path):
    process = limited(tmp_path, "4", "parent")
    for name in ("parent", "child", "apart"):
        wait_for(tmp_path / f"{name}.began")
    assert process.wait(30) == 124
    assert (tmp_path / "parent.saved").exists()
    wait_for(tmp_path / "child.told")
    assert not (tmp_path / "apart.told").exists()
    os.kill(int((tmp_path / "apart.began").read_text()), signal.SIGKILL)


def test_ctrl_c_reaches_the_command_whose_end_is_waited_for(tmp_path):
    process = limited(tmp_path, "1h", "child")
    wait_for(tmp_path / "child.began")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(30) == 7
    assert (tmp_path / "child.saved").exists()


def test_a_command_that_ends_before_has_its_own_status(tmp_path):
    assert limited(tmp_path, "60", "child", "0").wait(30) == 0
    killed = [sys.executable, str(SCRIPT), "60", "--", "sh", "-c", "kill -9 $$"]
    assert subprocess.run(killed).returncode == 128 + 9


def test_an_end_from_outside_is_handed_on(tmp_path):
    process = limited(tmp_path, "60", "child")
    wait_for(tmp_path / "child.began")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + 15
