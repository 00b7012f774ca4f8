"""Jobs forked from one interpreter: as if each had been started by itself."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import warm
import writers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the server is used on Linux only")

CLI = """
import heavy, os, signal, sys, time
def main():
    word = sys.argv[1]
    if word == "tell":
        heavy.jobs += 1
        print(sys.argv, os.getcwd(), os.environ["GIVEN"], sys.stdin.read(), heavy.jobs, heavy.importer == os.getpid())
    elif word == "fail":
        print("wrong", file=sys.stderr)
        return 3
    elif word == "die":
        os.kill(os.getpid(), 9)
    elif word == "wait":
        open(sys.argv[2], "w").write(str(os.getpid()))
        time.sleep(60)
    elif word == "stop":
        signal.signal(signal.SIGUSR2, lambda *_: sys.exit(75))
        open(sys.argv[2], "w").write(open("/proc/self/comm").read())
        time.sleep(60)
"""
HEAVY = "import os\nimporter = os.getpid()\njobs = 0\nopen(os.environ['IMPORTS'], 'a').write('x')\n"


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """A folder with a stand-in for dataflex.cli and a library that notes each import of it."""
    (tmp_path / "code/dataflex").mkdir(parents=True)
    (tmp_path / "code/dataflex/cli.py").write_text(CLI)
    (tmp_path / "code/heavy.py").write_text(HEAVY)
    (tmp_path / "bin").mkdir()
    cold = tmp_path / "bin/dataflex-cli"
    cold.write_text('#!/bin/sh\necho cold "$@"\n')
    cold.chmod(0o755)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "code"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("IMPORTS", str(tmp_path / "imports"))
    monkeypatch.setenv(warm.THREADS, "1")
    monkeypatch.delenv(warm.ADDRESS, raising=False)
    return tmp_path


@pytest.fixture
def server(bench, monkeypatch):
    monkeypatch.setenv(warm.ADDRESS, "")
    started = warm.start(bench / "warm.log", ["heavy"])
    yield started
    started.stdin.close()
    started.wait(10)


def job(*words, **options):
    command = [sys.executable, "-S", warm.__file__, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, **options)


def test_a_job_has_its_callers_words_folder_environment_and_streams(server, bench):
    (bench / "there").mkdir()
    done = job("tell", "a b", input="given", cwd=bench / "there", env={**os.environ, "GIVEN": "mine"})
    assert done.stdout == f"['dataflex-cli', 'tell', 'a b'] {bench / 'there'} mine given 1 False\n"
    assert (done.returncode, done.stderr) == (0, "")


def test_the_library_is_imported_once_and_no_state_passes_between_jobs(server, bench):
    told = [job("tell", input="", env={**os.environ, "GIVEN": ""}).stdout for _ in range(3)]
    assert all(line.endswith(" 1 False\n") for line in told)
    assert (bench / "imports").read_text() == "x"


def test_failures_are_the_jobs_own(server):
    failed = job("fail")
    assert (failed.returncode, failed.stderr) == (3, "wrong\n")
    assert job("die").returncode == 128 + signal.SIGKILL
    assert job("fail").returncode == 3


def test_a_job_ends_with_its_caller(server, bench):
    file = bench / "pid"
    caller = subprocess.Popen([sys.executable, "-S", warm.__file__, "wait", str(file)])
    deadline = time.monotonic() + 20
    while not (file.is_file() and file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    caller.kill()
    caller.wait()
    running = Path(f"/proc/{file.read_text()}")
    while running.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running.exists()


def test_a_job_hears_its_callers_signals_and_is_known_as_what_it_writes_for(server, bench):
    file, token = bench / "name", "0123456789abcdef" * 2
    caller = subprocess.Popen(
        [sys.executable, "-S", warm.__file__, "stop", str(file)], env={**os.environ, warm.MARK: token}
    )
    deadline = time.monotonic() + 20
    while not (file.is_file() and file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert file.read_text().strip() == token[:15]
    assert [process.name() for process in writers.of(token)] == ["python", token[:15]]
    caller.send_signal(signal.SIGUSR2)
    assert caller.wait(20) == 75
    assert writers.of(token) == []


def test_the_server_ends_with_who_started_it_and_jobs_go_on_alone(server):
    folder = Path(os.environ[warm.ADDRESS]).parent
    server.stdin.close()
    assert server.wait(10) == 0
    assert not folder.exists()
    assert job("tell", "x").stdout == "cold tell x\n"


def test_without_a_server_or_with_more_threads_a_job_is_started_by_itself(bench, monkeypatch):
    assert job("tell").stdout == "cold tell\n"
    started = warm.start(bench / "warm.log", ["heavy"])
    monkeypatch.setenv(warm.THREADS, "2")
    assert job("tell").stdout == "cold tell\n"
    started.stdin.close()
    started.wait(10)


def test_a_server_whose_library_is_missing_does_no_harm(bench, monkeypatch):
    monkeypatch.setenv(warm.ADDRESS, "")
    started = warm.start(bench / "warm.log", ["no_such_library"])
    assert job("tell").stdout == "cold tell\n"
    assert started.wait(10) != 0
    assert "no_such_library" in (bench / "warm.log").read_text()
    assert not Path(os.environ[warm.ADDRESS]).parent.exists()
    started.stdin.close()
