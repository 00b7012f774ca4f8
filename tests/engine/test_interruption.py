"""What asks a run to stop: signals, time, and how time is counted."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataflex.engine.deadline import Deadline, stop_time
from dataflex.engine.interruption import SIGNALS, STOP_FILE, Interruption
from dataflex.errors import Interrupted, UserError

JOB = {"SLURM_JOB_START_TIME": "1000", "SLURM_JOB_END_TIME": "11000"}


@pytest.mark.parametrize(
    ("env", "time"),
    [
        ({}, None),
        ({"DATAFLEX_STOP_AT": ""}, None),
        ({"DATAFLEX_STOP_AT": "12.5"}, 12.5),
        ({"DATAFLEX_STOP_MARGIN": "9"}, None),
        (JOB, 11000 - 300),
        (JOB | {"DATAFLEX_STOP_AT": "5000", "DATAFLEX_STOP_MARGIN": "60"}, 5000),
        (JOB | {"DATAFLEX_STOP_MARGIN": "60"}, 11000 - 60),
        (JOB | {"DATAFLEX_STOP_MARGIN": "0"}, 11000),
        (JOB | {"DATAFLEX_STOP_MARGIN": "4000"}, 11000 - 1000),
        (JOB | {"SLURM_JOB_START_TIME": "10000"}, 11000 - 100),
        ({"SLURM_JOB_END_TIME": "11000", "DATAFLEX_STOP_MARGIN": "4000"}, 7000),
        (JOB | {"SLURM_JOB_START_TIME": "later"}, 11000 - 300),
        ({"SLURM_JOB_END_TIME": "0"}, None),
        ({"SLURM_JOB_END_TIME": "UNLIMITED"}, None),
    ],
)
def test_the_time_to_stop(env: dict[str, str], time: float | None) -> None:
    assert stop_time(env) == time


@pytest.mark.parametrize("name", ["DATAFLEX_STOP_AT", "DATAFLEX_STOP_MARGIN"])
@pytest.mark.parametrize("value", ["soon", "nan", "inf", "-1"])
def test_no_time_at_all(name: str, value: str) -> None:
    with pytest.raises(UserError, match=f"{name} is '{value}': make it a .*seconds.*, or unset it"):
        stop_time({name: value})


def test_the_longest_step_has_to_fit() -> None:
    deadline = Deadline(100)
    deadline.begin(10)
    assert not deadline.is_near(20)  # another ten seconds would end at 30
    assert not deadline.is_near(60)  # another forty, just in time
    assert deadline.is_near(61)
    deadline.begin(61)  # another run of this process knows nothing of the forty seconds
    assert not deadline.is_near(62)
    assert not deadline.is_near(70)
    assert deadline.is_near(98)


def test_no_deadline_is_never_near() -> None:
    deadline = Deadline(None)
    deadline.begin(0)
    assert not deadline.is_near(1e12)


def test_a_deadline_that_has_passed_leaves_one_step() -> None:
    deadline = Deadline(1)
    deadline.begin(1e9)
    assert deadline.is_near(1e9)


@pytest.fixture
def _ignored() -> Iterator[None]:
    """As a shell's ``trap ''`` leaves them to its children."""
    before = [signal.signal(number, signal.SIG_IGN) for number in SIGNALS]
    yield
    for number, handler in zip(SIGNALS, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("_ignored")
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_heard_and_the_next_ones_change_nothing(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    with Interruption.of({}) as interruption:
        assert interruption.reason is None
        interruption.refuse_to_begin("the first part")
        os.kill(os.getpid(), number)
        assert interruption.reason == number.name
        said = capfd.readouterr().err
        assert (
            said
            == f"dataflex-cli: {number.name}: the run saves a checkpoint and stops at the end of its step, or of a batch of its decision\n"
        )
        os.kill(os.getpid(), signal.SIGTERM)
        assert "already, this signal changes nothing" in capfd.readouterr().err
        os.kill(os.getpid(), signal.SIGTERM)
        assert capfd.readouterr().err == ""
        assert interruption.reason == number.name
        with pytest.raises(Interrupted, match=f"by {number.name} before the main run") as stop:
            interruption.refuse_to_begin("the main run")
        assert stop.value.code == 75
    assert [signal.getsignal(one) for one in SIGNALS] == [signal.SIG_IGN, signal.SIG_IGN]


def test_a_launchers_word(tmp_path: Path) -> None:
    interruption = Interruption.of({STOP_FILE: str(tmp_path / "stop")})
    assert interruption.reason is None
    (tmp_path / "stop").write_text("SIGUSR2")
    assert interruption.reason == "SIGUSR2"


@pytest.mark.parametrize("after", [0, 0.2])
def test_a_forked_helper_is_ended(after: float) -> None:
    """As a pool's worker has to be when the pool is closed; a signal at once comes before it runs at all."""
    with Interruption.of({}):
        for _ in range(1 if after else 50):
            child = os.fork()
            if child == 0:
                time.sleep(20)
                os._exit(3)
            time.sleep(after)
            os.kill(child, signal.SIGTERM)
            assert os.waitpid(child, 0)[1] == signal.SIGTERM
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_another_thread_leaves_the_handlers_alone() -> None:
    found = []

    def look() -> None:
        with Interruption.of({}):
            found.extend(signal.getsignal(number) for number in SIGNALS)

    before = [signal.getsignal(number) for number in SIGNALS]
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == before


UNAWARE = """
from dataflex.errors import Interrupted
try:
    raise Interrupted("stopped")
except Exception:
    print("taken for a mistake")
"""


def test_who_does_not_know_of_it_lets_it_pass() -> None:
    done = subprocess.run([sys.executable, "-c", UNAWARE], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (75, "", "")
