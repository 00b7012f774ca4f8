"""One writer of a cell: real processes that hold a lock, die, and are waited for."""

import errno
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import attempts
import hold as hold_script
import psutil
import pytest
import writers
from alone import claim
from lock import Lock, identity
from snakemake_executor_plugin_slurm_cells_jobstep import relay

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
    file.write_text(json.dumps({**identity(), "began": "1", "token": "t"}))
    lock = Lock(file)
    assert lock.acquire(ignore) is False
    lock.release()


def test_a_process_that_another_container_numbers_is_not_looked_for_here(file):
    """Containers can share the name of their host, and its start."""
    file.write_text(json.dumps({**identity(), "pids": "pid:[1]", "pid": 1, "began": "1", "token": "t"}))
    lock, begin = Lock(file, beat=0.05, silence=1.0), time.monotonic()
    assert lock.acquire(ignore, lambda text: None) is True
    assert time.monotonic() - begin > 0.9
    lock.release()


@pytest.fixture
def no_links(monkeypatch):
    def link(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)


def test_a_file_system_without_hard_links(file, tmp_path, no_links):
    first, told = Lock(file, beat=0.05), []
    assert first.acquire(lambda: told.append(True)) is False
    assert json.loads(file.read_text())["pid"] == os.getpid()
    stops = iter((False, True))
    assert Lock(file, beat=0.1).acquire(ignore, lambda text: None, lambda: next(stops)) is None
    assert not told
    first.release()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_came_in_anothers_place_is_put_back_without_hard_links(
    file, tmp_path, no_links, monkeypatch
):
    real = os.rename

    def changed(source, target):
        file.write_text("the next one's")
        real(source, target)

    file.write_text("one that is gone")
    monkeypatch.setattr(os, "rename", changed)
    Lock(file)._remove("one that is gone")
    assert file.read_text() == "the next one's"
    assert list(tmp_path.iterdir()) == [file]


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


def of_job_7(file, silent):
    holder = {"host": "elsewhere", "pid": 1, "began": "1", "slurm_job": "7", "slurm_restart": 0, "token": "t"}
    file.write_text(json.dumps(holder))
    os.utime(file, (time.time() - silent,) * 2)


def test_a_job_of_slurms_that_was_started_again_takes_its_own_lock(file, monkeypatch):
    of_job_7(file, silent=51)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    lock = Lock(file, silence=1e9)
    assert lock.acquire(ignore) is False
    lock.release()


@pytest.mark.parametrize("again", [True, False])
def test_slurms_word_alone_takes_no_lock_of_one_that_is_heard(file, monkeypatch, again, tmp_path):
    """A node that Slurm calls lost, or starts the job again beside, may be cut off and write on."""
    said = tmp_path / "squeue"
    said.write_text("#!/bin/sh\necho NODE_FAIL\n")
    said.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "7" if again else "8")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    of_job_7(file, silent=0)
    lock, begin = Lock(file, beat=0.2, silence=1e9), time.monotonic()
    assert lock.acquire(ignore, lambda text: None) is True
    assert time.monotonic() - begin > 0.9
    lock.release()


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_lock_that_can_not_be_read_does_not_last_for_ever(file, content):
    file.write_text(content)
    said, lock, begin, busy = [], Lock(file, beat=0.2, silence=1.0), time.monotonic(), time.process_time()
    assert lock.acquire(ignore, said.append) is True
    assert time.monotonic() - begin > 0.9
    assert time.process_time() - busy < 0.3
    assert "can't be read" in said[-1]
    lock.release()
    assert not file.exists()


def test_who_waits_can_be_told_to_stop(file):
    of_job_7(file, silent=0)
    assert Lock(file, beat=0.1).acquire(ignore, lambda text: None, lambda: True) is None
    assert json.loads(file.read_text())["token"] == "t"


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


def hold(tmp_path, *command, group=None, stdin=None, **environment):
    words = ["--lock", str(tmp_path / "x.lock"), "--attempts", str(tmp_path / "x.jsonl"), "--", *command]
    return subprocess.Popen(
        [sys.executable, str(SCRIPTS / "hold.py"), *words],
        env={**os.environ, **environment},
        text=True,
        stdin=stdin,
        process_group=group,
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


WRITES = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if sys.argv[2] == "children":
    # As torchrun starts its workers.
    subprocess.Popen([sys.executable, __file__, sys.argv[1], "none"], start_new_session=True)
while True:
    with open(sys.argv[1], "a") as stream:
        stream.write(f"{os.getpid()} {time.monotonic()}\\n")
    time.sleep(0.02)
"""
LINES = "import sys, time; open(sys.argv[1], 'a').write(f'second {time.monotonic()}\\n'); time.sleep(1)"


def writing(tmp_path, children="children"):
    """A held command that writes, with a child that does so too, and ends at no SIGTERM."""
    script = tmp_path / "writes.py"
    script.write_text(WRITES)
    process = hold(tmp_path, sys.executable, str(script), str(tmp_path / "lines"), children)
    wanted = 2 if children == "children" else 1
    while len(pids_of(tmp_path)) < wanted:
        time.sleep(0.05)
    return process


def pids_of(tmp_path):
    file = tmp_path / "lines"
    return {line.split()[0] for line in file.read_text().splitlines()} if file.exists() else set()


def lives(pid):
    try:
        return psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def second_writer_is_alone(tmp_path):
    assert hold(tmp_path, sys.executable, "-c", LINES, str(tmp_path / "lines")).wait(60) == 0
    lines = (tmp_path / "lines").read_text().splitlines()
    return lines[-1].startswith("second")


def test_a_killed_holders_children_do_not_write_beside_the_next_one(tmp_path):
    first = writing(tmp_path)
    first.kill()
    first.wait()
    assert second_writer_is_alone(tmp_path)
    assert not any(lives(pid) for pid in pids_of(tmp_path) - {"second"})


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel is asked for it on Linux")
def test_a_command_dies_with_its_holder(tmp_path):
    first = writing(tmp_path, "none")
    (pid,) = pids_of(tmp_path)
    first.kill()
    first.wait()
    deadline = time.monotonic() + 5
    while lives(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not lives(pid)


def test_a_lock_is_kept_until_nothing_writes_any_more(tmp_path):
    """The command ends, what it has started does not."""
    script = tmp_path / "writes.py"
    script.write_text(WRITES)
    begin = "import subprocess, sys; subprocess.Popen(sys.argv[1:], start_new_session=True)"
    words = [sys.executable, "-c", begin, sys.executable, str(script), str(tmp_path / "lines"), "none"]
    assert hold(tmp_path, *words).wait(60) == 0
    assert second_writer_is_alone(tmp_path)


def test_an_interrupt_from_the_keyboard_asks_the_command_to_stop(tmp_path):
    code = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), sys.exit(75))); "
    )
    code += "open(sys.argv[1], 'w').write('ready'); time.sleep(60)"
    process = hold(tmp_path, sys.executable, "-c", code, str(tmp_path / "said"), group=0)
    while not (tmp_path / "said").exists() or not (tmp_path / "said").read_text():
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.5)
    assert (tmp_path / "x.lock").exists()
    assert process.wait(30) == 75
    assert attempts.read(tmp_path / "x.jsonl")[-1]["status"] == 75
    assert not (tmp_path / "x.lock").exists()


@contextmanager
def at_hangup(handler):
    """What a process that is started meanwhile does when its terminal is closed; ``nohup`` has it ignored."""
    before = signal.signal(signal.SIGHUP, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_terminal_that_is_closed_asks_the_command_to_stop(tmp_path):
    code = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(75)); "
    code += "open(sys.argv[1], 'w').write('ready'); time.sleep(60)"
    with at_hangup(signal.SIG_DFL):
        process = hold(tmp_path, sys.executable, "-c", code, str(tmp_path / "said"), group=0)
    while not (tmp_path / "said").exists() or not (tmp_path / "said").read_text():
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGHUP)
    assert process.wait(30) == 75
    assert attempts.read(tmp_path / "x.jsonl")[-1]["status"] == 75


def test_what_nohup_started_outlives_its_terminal(tmp_path):
    code = "import sys, time; open(sys.argv[1], 'w').write('ready'); time.sleep(1.5)"
    with at_hangup(signal.SIG_IGN):
        process = hold(tmp_path, sys.executable, "-c", code, str(tmp_path / "said"), group=0)
    while not (tmp_path / "said").exists() or not (tmp_path / "said").read_text():
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGHUP)
    assert process.wait(30) == 0


def test_a_command_that_asks_something_is_not_stopped_for_ever(tmp_path):
    reads = "import sys; sys.exit(sys.stdin.read() != '')"
    assert hold(tmp_path, sys.executable, "-c", reads, stdin=subprocess.PIPE).wait(30) == 0


@pytest.mark.parametrize("ends", ["kill -TERM $$", "exit 143"])
def test_a_command_that_ends_at_once_when_told_was_interrupted(tmp_path, ends):
    """The second is what srun and the server of warm.py tell of the same end."""
    script = f"trap '{ends}' USR2; echo ready > {tmp_path}/said; while :; do sleep 0.1; done"
    process = hold(tmp_path, "sh", "-c", script)
    while not (tmp_path / "said").exists() or not (tmp_path / "said").read_text():
        time.sleep(0.05)
    process.send_signal(signal.SIGUSR2)
    assert process.wait(30) == 75
    assert attempts.read(tmp_path / "x.jsonl")[-1]["reason"] == "told to stop, it ended at once (15)"


def test_a_second_interrupt_kills(tmp_path):
    process = writing(tmp_path)
    process.send_signal(signal.SIGINT)
    time.sleep(2.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 128 + signal.SIGKILL
    assert second_writer_is_alone(tmp_path)


def test_a_signal_that_comes_while_the_command_is_started_is_not_lost(tmp_path, monkeypatch):
    real = subprocess.Popen

    def slow(*words, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*words, **options)

    before = {name: signal.getsignal(name) for name in hold_script.HEARD}
    try:
        with hold_script.Hold(tmp_path / "x.lock", tmp_path / "x.jsonl") as held:
            monkeypatch.setattr(hold_script.subprocess, "Popen", slow)
            assert held.run([sys.executable, "-c", "import time; time.sleep(60)"]) == 75
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def test_an_end_that_can_not_be_noted_keeps_no_lock(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("no space left on device")

    before = {name: signal.getsignal(name) for name in hold_script.HEARD}
    try:
        monkeypatch.setattr(attempts, "ended", full)
        held = hold_script.Hold(tmp_path / "x.lock", tmp_path / "x.jsonl")
        with pytest.raises(OSError, match="no space"), held:
            held.run(["true"])
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
    assert not (tmp_path / "x.lock").exists()


@pytest.mark.parametrize("made", [True, False])
def test_who_was_taken_for_dead_leaves_alone_what_another_has_made(tmp_path, made):
    """It ends well where all is made, as Snakemake would remove what a failed job was to make; else it goes on."""
    ran, output, other = tmp_path / "ran", tmp_path / "metrics.json", tmp_path / "questions.jsonl"
    code = "import functools, sys, hold; hold.Lock = functools.partial(hold.Lock, beat=0.05, silence=5.0); "
    code += "sys.argv = ['hold.py', *sys.argv[1:]]; hold.main()"
    # The first time it hangs, as if its node did.
    script = f"echo >> {ran}; test $(wc -l < {ran}) = 2 || sleep 60; echo own > {output}; echo own > {other}"
    words = ["--lock", tmp_path / "x.lock", "--attempts", tmp_path / "x.jsonl", "--makes", output, other]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words), "--", "sh", "-c", script],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
    )
    while not ran.exists():
        time.sleep(0.05)
    for file in (output, other) if made else (output,):
        file.write_text("another's\n")
    (tmp_path / "x.lock").unlink()
    assert process.wait(30) == 0
    assert len(ran.read_text()) == (1 if made else 2)
    assert {file.read_text() for file in (output, other)} == {"another's\n" if made else "own\n"}


def test_a_command_that_is_not_there_is_named(tmp_path):
    assert hold(tmp_path, "no-such-command").wait() == 127
    assert writers.of("no such token") == []


@pytest.mark.parametrize("when", ["early", "later"])
def test_a_signal_for_the_steps_first_process_alone_reaches_what_is_held(tmp_path, when):
    """As where Slurm tracks processes by control groups: between the two are Snakemake and its shell."""
    code = "import signal, sys, time; signal.signal(signal.SIGUSR2, lambda *_: sys.exit(75)); "
    code += "open(sys.argv[1], 'w').write('ready'); time.sleep(60)"
    (tmp_path / "trains.py").write_text(code)
    held = [sys.executable, str(SCRIPTS / "hold.py"), "--lock", f"{tmp_path}/x.lock"]
    held += [
        "--attempts",
        f"{tmp_path}/x.jsonl",
        "--",
        sys.executable,
        f"{tmp_path}/trains.py",
        f"{tmp_path}/said",
    ]
    between = (
        "import subprocess, sys, time; time.sleep(1); sys.exit(subprocess.call(['sh', '-c', sys.argv[1]]))"
    )
    shell = f"trap '' TERM USR2; {shlex.join(held)}; exit $?"
    relayed = subprocess.Popen(
        [sys.executable, "-S", "-E", relay.__file__, shlex.join([sys.executable, "-c", between, shell])]
    )
    if when == "later":
        while not (tmp_path / "said").exists() or not (tmp_path / "said").read_text():
            time.sleep(0.05)
    else:
        time.sleep(0.5)
    relayed.send_signal(signal.SIGUSR2)
    status = relayed.wait(60)
    (end,) = [event for event in attempts.read(tmp_path / "x.jsonl") if event["event"] == "end"]
    assert status == end["status"] == 75
    assert hold_script.RELAY == relay.FOLDER


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_step_lasts_while_what_is_held_saves_though_its_shell_has_ended(tmp_path, end):
    """As where a signal for the step reaches all of its processes."""
    code = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(2), sys.exit(75))); "
    )
    code += "open(sys.argv[1], 'w').write('ready'); time.sleep(60)"
    held = [sys.executable, str(SCRIPTS / "hold.py"), "--lock", f"{tmp_path}/x.lock", "--attempts"]
    held += [f"{tmp_path}/x.jsonl", "--", sys.executable, "-c", code, f"{tmp_path}/said"]
    shell = f"echo $$ > {tmp_path}/shell; {shlex.join(held)}; exit $?"
    relayed = subprocess.Popen([sys.executable, "-S", "-E", relay.__file__, shell])
    while not (tmp_path / "said").exists() or not (tmp_path / "said").read_text():
        time.sleep(0.05)
    holder = int(json.loads((tmp_path / "x.lock").read_text())["pid"])
    os.kill(int((tmp_path / "shell").read_text()), signal.SIGTERM)
    relayed.send_signal(signal.SIGTERM)
    if end == signal.SIGKILL:
        # One that is killed leaves its number behind, and nobody is waited for.
        time.sleep(1)
        os.kill(holder, end)
    assert relayed.wait(30) == 128 + signal.SIGTERM
    ends = [event["status"] for event in attempts.read(tmp_path / "x.jsonl") if event["event"] == "end"]
    assert ends == ([75] if end == signal.SIGTERM else [])


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
