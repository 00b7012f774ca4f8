"""A process that is left in the midst of PyTorch's threads: with its own status, after all that was to be done."""

import subprocess
import sys

import pytest

# The thread is for ever on its way into or out of PyTorch, where Python's lock is let go and asked for.
BUSY = """
import atexit, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
import torch
import dataflex.host.leaving

def compute():
    ones = torch.ones(100)
    while True:
        ones + ones

def say(what):
    print(what, end=" ")

atexit.register(say, "registered")
pool = ThreadPoolExecutor()
pool.submit(lambda: (time.sleep(0.2), say("pooled")))
for _ in range(4):
    threading.Thread(target=compute, daemon=True).start()
say("trained")
"""


def run(end: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", BUSY + end], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("status", [0, 2])
def test_a_process_leaves_with_its_own_status(status: int) -> None:
    done = run(f"dataflex.host.leaving.leave({status})")
    assert (done.returncode, done.stdout) == (status, "trained pooled registered "), done.stderr


def test_what_fails_at_the_end_does_not_change_the_status() -> None:
    done = run("atexit.register(lambda: 1 / 0)\ndataflex.host.leaving.leave(3)")
    assert (done.returncode, done.stdout) == (3, "trained pooled registered ")
    assert "ZeroDivisionError" in done.stderr


def test_output_that_cannot_be_written_is_a_failure() -> None:
    done = run("sys.stdout = open('/dev/full', 'w')\nsay('lost')\ndataflex.host.leaving.leave(0)")
    assert done.returncode == 120
    assert "No space left" in done.stderr


def test_an_interruption_meanwhile_leaves_nothing_out() -> None:
    end = """
import os, signal
# A test run in the background has been told to ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
pool.submit(lambda: (time.sleep(0.5), os.kill(os.getpid(), signal.SIGINT), time.sleep(0.5)))
dataflex.host.leaving.leave(0)
"""
    done = run(end)
    assert done.returncode == 120
    assert "KeyboardInterrupt" in done.stderr
    assert "registered" in done.stdout


@pytest.mark.parametrize(
    ("main", "status", "told"),
    [
        ("lambda: None", 0, ""),
        ("lambda: sys.exit(75)", 75, ""),
        ("lambda: sys.exit('no such file')", 1, "no such file\n"),
        ("lambda: 1 / 0", 1, "ZeroDivisionError: division by zero\n"),
    ],
)
def test_the_status_is_pythons(main: str, status: int, told: str) -> None:
    done = run(f"dataflex.host.leaving.run_and_leave({main})")
    assert (done.returncode, done.stderr[-len(told) :] if told else done.stderr) == (status, told)
    assert done.stdout == "trained pooled registered "


@pytest.mark.parametrize(("argument", "status"), [("--help", 0), ("nonsense", 2)])
def test_the_command_leaves_so_where_torchrun_starts_it(argument: str, status: int) -> None:
    start = "import runpy\nrunpy.run_module('dataflex.cli', run_name='__main__')"
    done = run(f"sys.argv[1:] = ['train', {argument!r}]\n{start}")
    assert done.returncode == status, done.stderr
    assert "pooled" in done.stdout
    assert done.stdout.endswith("registered ")
