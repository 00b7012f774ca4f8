"""The executor beside a site's Slurm commands that say of its jobs what a test wants them to say."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest
import snakemake_executor_plugin_slurm_cells as plugin
from snakemake_executor_plugin_slurm_cells import records
from snakemake_executor_plugin_slurm_cells.marks import comment_of, mark_of

from dataflex.engine.checkpoints import seal
from tests.workflow.bench import Job, later, until
from tests.workflow.test_submission import TRANSIENT


def test_a_job_is_submitted_and_recorded_and_finished(site, start):
    run, job = start(), Job()
    run.submit(job)
    (number,) = site.jobs()
    assert run.numbers == [number]
    assert job.record["slurm_job"] == number
    assert job.record["name"] == site.jobs()[number]["name"] == run.run_uuid
    assert site.jobs()[number]["comment"] == comment_of(job, mark_of(job))
    assert "selection_less.seed1" in site.jobs()[number]["comment"]
    site.say(number, "RUNNING")
    assert run.check().numbers == [number]
    site.say(number, "COMPLETED")
    assert run.check().numbers == []
    assert run.workflow.finished == [job]


def test_a_controller_that_is_away_is_waited_for(site, start, monkeypatch):
    run = start().submit(Job())
    site.say("100", "RUNNING")
    run.check()
    site.down("squeue", "sacct")
    later(run, monkeypatch, 1e5)
    assert run.numbers == ["100"]
    assert not run.workflow.failed


@pytest.mark.parametrize("queue", [None, "UNKNOWN"])
@pytest.mark.parametrize("accounts", [None, "UNKNOWN"])
@pytest.mark.parametrize("made", [True, False])
def test_what_nobody_knows_is_judged_by_what_it_left(site, start, monkeypatch, queue, accounts, made):
    run, job = start(), Job()
    run.submit(job)
    site.say("100", queue, accounts)
    assert run.check().numbers == ["100"]
    later(run, monkeypatch, 90)
    assert run.numbers == ["100"]
    if made:
        job.made.write_text("{}")
    later(run, monkeypatch, 110)
    assert run.numbers == []
    assert (run.workflow.finished, run.workflow.failed) == (([job], []) if made else ([], [job]))


def test_what_nobody_knows_is_waited_for_while_its_lock_beats(site, start, monkeypatch):
    """Even if it has made progress: a second job beside it would only wait for its lock."""
    run, job = start(), Job()
    run.submit(job)
    attempt(job, {"event": "start"})
    checkpoint(job, 20)
    lock = job.attempts.with_suffix(".lock")
    lock.touch()
    site.say("100", "UNKNOWN")
    run.check()
    later(run, monkeypatch, 110)
    assert run.numbers == ["100"]
    assert list(site.jobs()) == ["100"]
    # Its writer has gone, and the lock is left.
    os.utime(lock, (time.time() - 1000, time.time() - 1000))
    later(run, monkeypatch, 120)
    until(lambda: run.numbers == ["101"])
    assert run.numbers == ["101"]


def test_outputs_from_before_the_submission_are_no_success(site, start, monkeypatch):
    run, job = start(), Job()
    job.made.write_text("{}")
    os.utime(job.made, (1, 1))
    run.submit(job)
    site.say("100", None)
    run.check()
    later(run, monkeypatch, 110)
    assert run.workflow.failed == [job]


def test_accounts_tell_what_the_queue_has_forgotten(site, start):
    run, good, bad = start(), Job("a"), Job("b")
    for job in (good, bad):
        run.submit(job)
    site.say("100", None, "COMPLETED")
    site.say("101", None, "FAILED")
    run.check()
    assert (run.workflow.finished, run.workflow.failed) == ([good], [bad])


@pytest.mark.parametrize("state", ["PREEMPTED", "NODE_FAIL"])
@pytest.mark.parametrize("returns", [True, False])
def test_slurm_may_put_a_job_back(site, start, monkeypatch, state, returns):
    run, job = start(), Job()
    run.submit(job)
    site.say("100", state, state)
    run.check()
    later(run, monkeypatch, 90)
    assert run.numbers == ["100"]
    if returns:
        site.say("100", "PENDING", state)
    later(run, monkeypatch, 110)
    assert run.numbers == (["100"] if returns else [])
    assert run.workflow.failed == ([] if returns else [job])
    # A job that returns when it was given up is waited for, and not started twice.
    site.say("100", "RUNNING", state)
    if not returns:
        assert run.submit(job).numbers == ["100"]
    assert list(site.jobs()) == ["100"]


@pytest.mark.parametrize(
    ("state", "said", "short"),
    [
        ("OUT_OF_MEMORY", "", True),
        ("FAILED", "slurmstepd: error: Detected 1 oom_kill event in StepId=100.0", True),
        ("FAILED", "RuntimeError", False),
    ],
)
def test_memory_that_was_too_little_is_noted(site, start, state, said, short):
    run, job = start(), Job()
    for attempt, memory in enumerate((1000, 1500), 1):
        job.asks(mem_mb=memory)
        run.submit(job)
        number = run.numbers[0]
        run.active_jobs[0].aux["slurm_logfile"].write_text(said)
        site.say(number, state)
        run.check()
        assert len(run.workflow.failed) == attempt
        assert job.record["too_little"] == ({"mem_mb": memory} if short else {})
        assert job.record["slurm_job"] is None


def attempt(job, *events):
    with job.attempts.open("a") as stream:
        for event in events:
            stream.write(json.dumps(event) + "\n")


@pytest.mark.parametrize("state", ["TIMEOUT", "FAILED", "PREEMPTED", "CANCELLED by 0"])
def test_an_interruption_with_a_checkpoint_is_no_failure(site, start, monkeypatch, state):
    run, job = start(), Job()
    run.submit(job)
    attempt(job, {"event": "start"}, {"event": "end", "status": 75, "checkpoint": 20})
    site.say("100", state)
    run.check()
    later(run, monkeypatch, 110)
    until(lambda: run.numbers)
    assert run.numbers == ["101"]
    assert not run.workflow.failed
    # The second one makes no progress.
    attempt(job, {"event": "start"}, {"event": "end", "status": 75, "checkpoint": 20})
    site.say("101", "FAILED")
    run.check()
    assert run.workflow.failed == [job]


def checkpoint(job, step):
    folder = Path(f"train/less.seed1/checkpoint-{step}")
    (folder / "dataflex").mkdir(parents=True)
    seal(folder, resumable=True)


@pytest.mark.parametrize("state", ["TIMEOUT", "FAILED", "NODE_FAIL", "CANCELLED by 0", "OUT_OF_MEMORY"])
def test_an_end_with_a_further_checkpoint_is_no_failure(site, start, monkeypatch, state):
    """However often: a long cell that is killed between its checkpoints ends all the same."""
    run, job = start(), Job()
    run.submit(job)
    for number, step in enumerate((20, 40, 60, 80, 100), 100):
        attempt(job, {"event": "start"})
        checkpoint(job, step)
        site.say(str(number), state)
        run.check()
        later(run, monkeypatch, 110)
        until(lambda: run.numbers)
        assert run.numbers == [str(number + 1)]
    assert not run.workflow.failed
    short = {"OUT_OF_MEMORY": {"mem_mb": 1000}, "TIMEOUT": {"runtime": 60}}.get(state, {})
    assert job.record["too_little"] == short
    assert job.asked_anew == (5 if short else 0)
    # The last one makes none.
    attempt(job, {"event": "start"})
    site.say("105", "FAILED")
    run.check()
    assert run.workflow.failed == [job]


def test_what_has_no_checkpoints_goes_as_far_as_its_attempts_say(site, start):
    """An evaluation of steps counts those that are done: a failure behind a further one is none."""
    run, job = start(), Job(rule="evaluate_steps")
    for number, done in enumerate((2, 5), 100):
        if number == 100:
            run.submit(job)
        attempt(job, {"event": "start"}, {"event": "end", "status": 1, "checkpoint": done})
        site.say(str(number), "FAILED")
        run.check()
        assert not run.workflow.failed
        until(lambda: run.numbers)
    attempt(job, {"event": "start"}, {"event": "end", "status": 1, "checkpoint": 5})
    site.say("102", "FAILED")
    run.check()
    assert run.workflow.failed == [job]


def test_a_run_that_was_cleared_away_makes_progress_from_its_beginning(site, start):
    run, job = start(), Job()
    checkpoint(job, 500)
    run.submit(job)
    attempt(job, {"event": "start"}, {"event": "anew"}, {"event": "start"})
    shutil.rmtree("train/less.seed1")
    checkpoint(job, 20)
    site.say("100", "FAILED")
    run.check()
    until(lambda: run.numbers)
    attempt(job, {"event": "start"})
    site.say("101", "FAILED")
    run.check()
    assert run.workflow.failed == [job]


@pytest.mark.parametrize("state", ["FAILED", "TIMEOUT", "CANCELLED by 0", "NODE_FAIL", "PREEMPTED"])
@pytest.mark.parametrize(
    ("content", "age", "succeeded"), [("{}", 0, True), ("{", 0, False), ("{}", 1e4, False)]
)
def test_a_sentinel_of_this_submission_is_success_whatever_slurm_says(
    site, start, monkeypatch, state, content, age, succeeded
):
    run, job = start(), Job()
    run.submit(job)
    job.made.write_text(content)
    os.utime(job.made, (time.time() - age,) * 2)
    site.say("100", state)
    run.check()
    later(run, monkeypatch, 110)
    assert (run.workflow.finished, run.workflow.failed) == (([job], []) if succeeded else ([], [job]))


@pytest.mark.parametrize(("status", "succeeded"), [(0, True), (1, False), (None, False)])
def test_results_that_are_not_written_at_once_need_a_good_end(site, start, status, succeeded):
    run, job = start(), Job(rule="evaluate")
    job.made = Path("results/less.seed1/metrics.json")
    job.made.parent.mkdir(parents=True)
    job.output = [job.made]
    run.submit(job)
    job.made.write_text("{}")
    end = [] if status is None else [{"event": "end", "status": status, "checkpoint": None}]
    attempt(job, {"event": "start"}, *end)
    site.say("100", "TIMEOUT")
    run.check()
    assert (run.workflow.finished, run.workflow.failed) == (([job], []) if succeeded else ([], [job]))


def test_a_time_limit_without_a_checkpoint_is_a_failure(site, start):
    run, job = start(), Job()
    run.submit(job)
    attempt(job, {"event": "start"})
    site.say("100", "TIMEOUT")
    run.check()
    assert run.workflow.failed == [job]
    assert "TIMEOUT" in job.errors[0]
    assert job.record["too_little"] == {"runtime": 60}


@pytest.mark.parametrize("state", ["TIMEOUT", "PREEMPTED"])
def test_what_met_its_time_limit_is_asked_for_anew_before_it_is_submitted_again(
    site, start, monkeypatch, state
):
    """An evaluation begins anew: with the same limit it would end at the same place."""
    run, job = start(), Job(rule="evaluate")
    run.submit(job)
    attempt(job, {"event": "start"}, {"event": "end", "status": 75, "checkpoint": None})
    site.say("100", state)
    run.check()
    later(run, monkeypatch, 110)
    until(lambda: run.numbers)
    assert run.numbers == ["101"]
    assert job.asked_anew == (state == "TIMEOUT")


def test_the_resubmission_of_an_interrupted_job_may_be_refused_for_a_while(site, start, at_once):
    run, job = start(), Job()
    run.submit(job)
    attempt(job, {"event": "start"}, {"event": "end", "status": 75, "checkpoint": 20})
    site.say("100", "FAILED")
    site.answer("sbatch", {"said": TRANSIENT}, {"said": TRANSIENT, "taken": True})
    run.check()
    until(lambda: run.numbers)
    assert list(site.jobs()) == ["100", "101"]
    assert run.numbers == ["101"]
    assert not run.workflow.failed


def test_a_workflow_killed_before_it_resubmits_goes_on(site, start):
    run, job = start(), Job()
    run.submit(job)
    attempt(job, {"event": "start"}, {"event": "end", "status": 75, "checkpoint": 20})
    site.say("100", "FAILED")
    assert start().submit(Job()).numbers == ["101"]


# Slurm loses a node after its own time, by default 300 s, and starts its jobs again: that is waited for.
@pytest.mark.parametrize(
    ("silent", "timeout", "ghost"),
    [(430, None, True), (410, None, False), (430, "400", False), (110, "20", False), (150, "20", True)],
)
@pytest.mark.parametrize("clock", [0, 1e4])
def test_a_job_that_gives_no_sign_of_life_is_cancelled(
    site, start, monkeypatch, silent, timeout, ghost, clock
):
    if timeout:
        (site.folder / "node_timeout").write_text(timeout)
    run, job = start(), Job()
    run.submit(job)
    site.say("100", "RUNNING")
    run.check()
    lock = job.attempts.with_suffix(".lock")
    attempt(job, {"event": "start"})
    lock.touch()
    for file, age in ((lock, silent), (job.attempts, silent + 10)):
        os.utime(file, (time.time() - age,) * 2)
    # The login node's clock may be wrong.
    wall = time.time
    monkeypatch.setattr(time, "time", lambda: wall() + clock)
    later(run, monkeypatch, 600)
    # Once is not enough: where the file server was away a sign comes a moment after it is back.
    assert run.numbers == ["100"]
    later(run, monkeypatch, 620)
    assert run.numbers == ["100"]
    later(run, monkeypatch, 640)
    assert run.numbers == ([] if ghost else ["100"])
    assert site.jobs()["100"]["queue"] == ("CANCELLED by 0" if ghost else "RUNNING")
    assert run.workflow.failed == ([job] if ghost else [])


def taken_for_dead_once(site, start, monkeypatch):
    run, job = start(), Job()
    run.submit(job)
    site.say("100", "RUNNING")
    run.check()
    attempt(job, {"event": "start"})
    os.utime(job.attempts, (time.time() - 500,) * 2)
    later(run, monkeypatch, 600)
    return run, job


def test_a_job_that_gives_a_sign_when_it_is_looked_at_again_is_alive(site, start, monkeypatch):
    run, job = taken_for_dead_once(site, start, monkeypatch)
    job.attempts.with_suffix(".lock").touch()
    later(run, monkeypatch, 620)
    # The next silence begins anew.
    os.utime(job.attempts.with_suffix(".lock"), (time.time() - 500,) * 2)
    later(run, monkeypatch, 640)
    assert run.numbers == ["100"]


@pytest.mark.parametrize(("status", "given_up"), [(78, True), (2, False), (1, False)])
def test_what_was_looked_at_and_found_unfit_is_not_looked_at_again(site, start, status, given_up):
    run, job = start(), Job(rule="preflight_score")
    run.submit(job)
    attempt(job, {"event": "start", "slurm_job": "100"}, {"event": "end", "status": status})
    site.say("100", "FAILED")
    run.check()
    assert run.workflow.failed == [job]
    assert job.is_given_up is given_up


@pytest.mark.parametrize("begun", [True, False])
def test_a_verdict_of_an_earlier_workflow_says_nothing_of_a_job_that_was_killed(site, start, begun):
    run, job = start(), Job(rule="preflight_score")
    attempt(job, {"event": "start", "slurm_job": "7"}, {"event": "end", "status": 78})
    run.submit(job)
    if begun:
        attempt(job, {"event": "start", "slurm_job": "100"})
    site.say("100", "CANCELLED by 0")
    run.check()
    assert run.workflow.failed == [job]
    assert not job.is_given_up


def test_a_file_server_that_is_away_makes_the_second_look_the_first(site, start, monkeypatch):
    """Of two outages in a row each ends with a first look."""
    run, _ = taken_for_dead_once(site, start, monkeypatch)
    with monkeypatch.context() as away:
        away.setattr(records, "silence", lambda attempts: (_ for _ in ()).throw(OSError("away")))
        later(run, monkeypatch, 640)
    later(run, monkeypatch, 680)
    assert run.numbers == ["100"]
    later(run, monkeypatch, 720)
    assert run.numbers == []


def test_a_job_without_a_lock_is_never_taken_for_dead(site, start, monkeypatch):
    run = start().submit(Job())
    site.say("100", "RUNNING")
    run.check()
    later(run, monkeypatch, 1e5)
    assert run.numbers == ["100"]


@pytest.mark.parametrize(
    ("state", "reason"), [("PENDING", "launch failed requeued held"), ("REQUEUE_HOLD", "None")]
)
def test_a_job_that_is_held_for_good_is_cancelled(site, start, state, reason):
    run, job = start(), Job()
    run.submit(job)
    site.say("100", state, reason=reason)
    run.check()
    assert site.jobs()["100"]["queue"] == "CANCELLED by 0"
    assert run.workflow.failed == [job]
    assert reason in job.errors[0]


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("PartitionTimeLimit", "`runtime`"),
        ("BadConstraints", "`constraint`"),
        ("InvalidAccount", "`slurm_account`"),
        ("InvalidQOS", "`qos`"),
        ("QOSMaxWallDurationPerJobLimit", "`qos`"),
    ],
)
def test_a_job_that_can_never_start_is_given_up_with_advice(site, start, monkeypatch, reason, change):
    run, job = start(), Job()
    run.submit(job)
    submitted = Path("jobs/train/less.seed1.json").stat().st_mtime_ns
    site.say("100", "PENDING", reason=reason)
    assert run.check().numbers == ["100"]
    assert job.record["pending_reason"] == reason
    assert abs(job.record["since"] - time.time()) < 60
    assert Path("jobs/train/less.seed1.json").stat().st_mtime_ns == submitted
    # Somebody may be changing the partition.
    later(run, monkeypatch, 110)
    assert run.workflow.failed == [job]
    assert reason in job.errors[0]
    assert change in job.errors[0]
    assert site.jobs()["100"]["queue"] == "CANCELLED by 0"


def test_a_job_that_is_cancelled_in_the_queue_waits_for_nothing_more(site, start):
    run, job = start(), Job()
    run.submit(job)
    site.say("100", "PENDING", reason="Priority")
    run.check()
    site.say("100", "CANCELLED by 0")
    run.check()
    assert (job.record["slurm_job"], job.record["pending_reason"], job.record["since"]) == (None, None, None)


# The second one is given to jobs whose nodes are under maintenance.
@pytest.mark.parametrize("reason", ["JobHeldUser", "PartitionNodeLimit"])
def test_a_job_that_waits_for_more_than_its_turn_is_spoken_of_once(site, start, monkeypatch, caplog, reason):
    run, job = start(), Job()
    run.submit(job)
    site.say("100", "PENDING", reason="Priority")
    later(run.check(), monkeypatch, 1e5)
    assert "more than its turn" not in caplog.text
    site.say("100", "PENDING", reason=reason)
    run.check()
    for seconds in (700, 800):
        later(run, monkeypatch, seconds)
    assert caplog.text.count(f"waits for more than its turn: {reason}") == 1
    assert run.numbers == ["100"]
    site.say("100", "RUNNING")
    # Another workflow has waited for it meanwhile.
    again = start().submit(Job()).check()
    assert again.numbers == ["100"]
    assert job.record["pending_reason"] is None


def test_files_that_can_not_be_read_are_not_waited_for_without_end(site, start, monkeypatch, caplog):
    run, job = start(submission_patience=1000), Job()
    run.submit(job)
    site.say("100", "FAILED")

    def unreadable(file):
        raise OSError("stale file handle")

    with monkeypatch.context() as broken:
        broken.setattr(plugin.cells, "reached", unreadable)
        for seconds in (0, 500, 900):
            later(run, monkeypatch, seconds)
            assert run.numbers == ["100"]
        assert caplog.text.count("stale file handle") == 1
        later(run, monkeypatch, 1100)
    assert run.workflow.failed == [job]
    assert "stale file handle" in job.errors[0]
