import errno
import os
import subprocess
import time
from itertools import product
from pathlib import Path

import attempts
import hold
import leash
import pytest
import warm
from snakemake_executor_plugin_slurm_cells import records, waiting
from snakemake_executor_plugin_slurm_cells.verdicts import (
    Said,
    Verdict,
    is_permanent,
    parse,
    settled,
    verdict,
    was_memory,
    word_about,
)
from snakemake_interface_common.exceptions import WorkflowError

from dataflex.watching import attempts as watching

PATIENCE = 100.0
STATES = [
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "COMPLETING",
    "CONFIGURING",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PENDING",
    "PREEMPTED",
    "REQUEUED",
    "REQUEUE_HOLD",
    "RESIZING",
    "REVOKED",
    "RUNNING",
    "SIGNALING",
    "SPECIAL_EXIT",
    "STAGE_OUT",
    "STOPPED",
    "SUSPENDED",
    "TIMEOUT",
    "UNKNOWN",
]


def judge(queue=None, accounts=None, silent=0.0):
    said = [
        Said(*word) if isinstance(word, tuple) else Said(word) if word else None for word in (queue, accounts)
    ]
    return verdict(*said, silent, PATIENCE)


@pytest.mark.parametrize(("queue", "accounts"), list(product([None, *STATES], [None, *STATES])))
def test_only_completed_is_success_and_nothing_waits_for_ever(queue, accounts):
    now, late = judge(queue, accounts), judge(queue, accounts, PATIENCE)
    if Verdict.SUCCEEDED in (now, late):
        assert queue == "COMPLETED" or (queue in (None, "UNKNOWN") and accounts == "COMPLETED")
    # Only what the queue itself calls alive may go on for longer than the patience.
    if late is Verdict.WAIT:
        assert settled(Said(queue))


@pytest.mark.parametrize(
    ("queue", "accounts", "silent", "expected"),
    [
        ("RUNNING", "PREEMPTED", 0, Verdict.WAIT),  # it was put back and runs again; the accounts lag
        ("PENDING", "NODE_FAIL", 1e9, Verdict.WAIT),
        (None, "PREEMPTED", 0, Verdict.WAIT),  # it may come back
        (None, "PREEMPTED", PATIENCE, Verdict.FAILED),  # preemption by cancelling: it will not
        ("NODE_FAIL", None, PATIENCE, Verdict.FAILED),
        (None, None, 0, Verdict.WAIT),  # submitted a moment ago
        (None, None, PATIENCE, Verdict.VANISHED),  # accounts are not kept, the controller has forgotten it
        ("UNKNOWN", "UNKNOWN", PATIENCE, Verdict.VANISHED),  # not a success
        (None, "COMPLETED", 0, Verdict.SUCCEEDED),
        (None, "RUNNING", PATIENCE, Verdict.VANISHED),  # a controller that lost its state
        ("CANCELLED by 0", None, 0, Verdict.FAILED),
        ("OUT_OF_MEMORY", None, 0, Verdict.FAILED),
        (("PENDING", "launch failed requeued held"), None, 0, Verdict.STUCK),
        (("PENDING", "Resources"), None, 1e9, Verdict.WAIT),
        ("REQUEUE_HOLD", None, 0, Verdict.STUCK),
    ],
)
def test_faults(queue, accounts, silent, expected):
    assert judge(queue, accounts, silent) is expected


def test_lines_of_both_commands():
    words = parse(
        "15|RUNNING|c|None|a|b\n12|RUNNING|a|None\n13_4|CANCELLED by 0|a|\n\n14|PENDING|b|(Resources)\nnonsense\n"
    )
    assert words == {
        "15": Said("RUNNING", "None", "c", "a|b"),
        "12": Said("RUNNING", "None", "a"),
        "13_4": Said("CANCELLED by 0", "", "a"),
        "14": Said("PENDING", "Resources", "b"),
    }
    assert word_about("13_4", words).word == "CANCELLED"
    assert word_about("12_1", words) == Said("RUNNING", "None", "a")
    assert word_about("99", words) is None


@pytest.mark.parametrize(
    ("refusal", "permanent"),
    [
        (
            "sbatch: error: Batch job submission failed: Invalid account or account/partition combination",
            True,
        ),
        ("sbatch: error: invalid partition specified: gpux", True),
        ("Job submission failed with exception: The given account default appears to be invalid.", True),
        ("sbatch: error: Memory specification can not be satisfied", True),
        ("sbatch: error: Batch job submission failed: Requested node configuration is not available", True),
        ("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", False),
        ("sbatch: error: Batch job submission failed: Unable to contact slurm controller", False),
        ("sbatch: error: QOSMaxSubmitJobPerUserLimit", False),
        ("slurm_load_jobs error: Resource temporarily unavailable", False),
    ],
)
def test_what_waiting_mends(refusal, permanent):
    assert is_permanent(refusal) is permanent
    assert is_permanent(refusal, subprocess.CalledProcessError(1, "sbatch")) is permanent


@pytest.mark.parametrize(
    ("error", "permanent"),
    [
        (subprocess.TimeoutExpired("squeue", 60), False),
        (ConnectionError("Slurm does not say"), False),
        (OSError(errno.EAGAIN, "no process can be started"), False),
        (OSError(errno.ENOSPC, "the disk is full"), False),
        (OSError(errno.E2BIG, "the command is too long"), True),
        (FileNotFoundError("sacctmgr"), True),
        (PermissionError("the folder of the logs"), True),
        (WorkflowError("Unable to test the validity of the given or guessed Slurm account"), False),
        (WorkflowError("No valid SLURM job ID found in: thank you"), False),
        (WorkflowError("The --memory option is not allowed in the 'slurm_extra' parameter"), True),
        (KeyError("mem_mb"), True),
    ],
)
def test_which_errors_of_a_submission_pass(error, permanent):
    assert is_permanent(f"Job submission failed with exception: {error}", error) is permanent


@pytest.mark.parametrize(
    ("state", "log", "memory"),
    [
        ("OUT_OF_MEMORY", "", True),
        ("FAILED", "slurmstepd: error: StepId=11.0 exceeded memory limit (2 > 1), being killed", True),
        ("FAILED", "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=4.0", True),
        ("FAILED", "slurmstepd: error: Detected 1 oom_kill event in StepId=4.0", True),
        ("FAILED", "RuntimeError: something else", False),
        ("TIMEOUT", "", False),
    ],
)
def test_what_more_memory_mends(state, log, memory):
    assert was_memory(Said(state), log) is memory
    assert was_memory(None, log) is (memory and bool(log))


def test_places_beside_the_log():
    assert (
        str(records.place("runs/p/logs/train/a/b.seed1.log", "jobs", ".json"))
        == "runs/p/jobs/train/a/b.seed1.json"
    )
    assert records.place("elsewhere/b.log", "jobs", ".json") is None
    assert records.place(None, "jobs", ".json") is None


def test_the_last_sign_of_a_cell_is_its_lock_or_its_last_event(tmp_path, monkeypatch):
    attempts, lock = tmp_path / "x.seed1.jsonl", tmp_path / "x.seed1.lock"
    assert records.silence(attempts) is None
    assert records.silence(None) is None
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: 0.0)  # this host's clock has no say
    for file, age in ((attempts, 200), (lock, 100)):
        file.touch()
        os.utime(file, (now - age,) * 2)
        assert records.silence(attempts) == pytest.approx(age, abs=30)
    lock.unlink()
    assert records.silence(attempts) == pytest.approx(200, abs=30)
    assert [file.name for file in tmp_path.iterdir()] == [attempts.name]


def test_a_file_server_that_was_away_says_nothing_of_who_writes_there(tmp_path, monkeypatch):
    """The look was kept waiting, and so were the writers."""
    attempts, lock = tmp_path / "x.seed1.jsonl", tmp_path / "x.seed1.lock"
    for file in (attempts, lock):
        file.touch()
    clock, touch = time.monotonic(), Path.touch

    def waits(self):
        nonlocal clock
        clock += 500
        touch(self)

    monkeypatch.setattr(time, "monotonic", lambda: clock)
    monkeypatch.setattr(Path, "touch", waits)
    for look in (lambda: records.silence(attempts), lambda: records.beats(attempts, 100)):
        with pytest.raises(OSError, match="has not answered for 500 s"):
            look()


@pytest.mark.parametrize(
    ("begins", "now", "progressed"),
    [
        ([0, 0], (0, 20), True),
        ([0, 20], (0, 20), False),
        ([0, 20], (0, 0), False),
        ([0, 500], (1, 20), True),
        ([0, 500], (1, 0), False),
        (None, (0, 20), False),
        ("nonsense", (0, 20), False),
        (["a", 1], (0, 20), False),
    ],
)
def test_progress_is_a_checkpoint_beyond_those_that_were_there(begins, now, progressed):
    assert records.has_progressed(begins, now) is progressed


def test_a_reason_that_passes_is_not_one_for_ever():
    for reason in ("Resources", "Priority", "None", ""):
        assert waiting.is_usual(reason)
    for reason in ("JobHeldUser", "AssocMaxJobsLimit", "QOSGrpGRES", "ReqNodeNotAvail, UnavailableNodes:n1"):
        assert not waiting.is_usual(reason)
        assert waiting.never(reason) is None


def test_scripts_executor_and_status_mean_the_same_by_a_status():
    assert hold.INTERRUPTED == records.INTERRUPTED == watching.INTERRUPTED
    assert warm.MARK == leash.MARK


def test_attempts_are_read_as_they_are_written(tmp_path):
    file = tmp_path / "x.jsonl"
    attempts.began(file)
    attempts.ended(file, 75, "told to", 20)
    assert [(end["status"], end["checkpoint"]) for end in records.ends(file)] == [(75, 20)]
    assert [one.status for one in watching.read_attempts(file)] == [75]
    assert records.reached(file, tmp_path) == (0, 20)
    attempts.began(file)
    assert records.reached(file, None) == (0, 20)
    attempts.anew(file)
    assert records.ends(file) == []
    assert records.reached(file, tmp_path) == (1, 0)


def test_a_record_is_read_back_and_half_of_one_is_none(tmp_path):
    file = tmp_path / "jobs" / "x.json"
    assert records.read(file) is None
    records.write(file, "12_3", "workflow", "log", "digest")
    assert records.read(file)["slurm_job"] == "12_3"
    file.write_text(file.read_text()[:10])
    assert records.read(file) is None


def test_what_was_too_little_is_remembered_for_the_same_work(tmp_path):
    file = tmp_path / "x.json"
    records.write(file, "1", "workflow", "log", "digest", asks={"mem_mb": 1000, "runtime": 60})
    records.ended(file, out_of_memory=True, out_of_time=True)
    assert records.read(file)["slurm_job"] is None
    assert records.read(file)["too_little"] == {"mem_mb": 1000, "runtime": 60}
    records.write(file, "2", "workflow", "log", "digest", asks={"mem_mb": 1500, "runtime": 90})
    records.ended(file, out_of_memory=False, out_of_time=True)
    assert records.read(file)["too_little"] == {"mem_mb": 1000, "runtime": 90}
    records.write(file, "3", "workflow", "log", "another digest")
    assert records.read(file)["too_little"] == {}
    # It does not say what it asked for.
    records.ended(file, out_of_memory=True, out_of_time=False)
    assert records.read(file)["too_little"] == {}


START = '{"event": "start"}\n'


def end(status, checkpoint):
    step = "null" if checkpoint is None else checkpoint
    return f'{START}{{"event": "end", "status": {status}, "checkpoint": {step}}}\n'


@pytest.mark.parametrize(
    ("events", "goes_on"),
    [
        ("", False),
        (end(75, 20), True),
        (end(75, 20) + end(75, 40), True),
        (end(75, 20) + end(75, 20), False),  # no step was made: it would never end
        (end(75, 20) + end(1, 20), False),
        (end(1, 20) + end(75, 40), True),
        (end(75, 20) + START, False),  # killed without a word
        (end(75, 20) + START + '{"event": "e', False),
        (end(75, None), True),
        (end(75, 5000) + '{"event": "anew"}\n' + end(75, 100), True),
    ],
)
def test_only_an_interruption_with_progress_goes_on(tmp_path, events, goes_on):
    file = tmp_path / "attempts.jsonl"
    file.write_text(events)
    assert records.goes_on(records.ends(file)) is goes_on
    assert records.ends(tmp_path / "none") == []
