"""The executor beside a site's Slurm commands that say of its jobs what a test wants them to say."""

import json
import os
import time

import pytest
from snakemake_executor_plugin_slurm_cells.marks import comment_of, mark_of

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
    ("state", "said", "times"),
    [
        ("OUT_OF_MEMORY", "", 1),
        ("FAILED", "slurmstepd: error: Detected 1 oom_kill event in StepId=100.0", 1),
        ("FAILED", "RuntimeError", 0),
    ],
)
def test_want_of_memory_is_counted(site, start, state, said, times):
    run, job = start(), Job()
    for attempt in (1, 2):
        run.submit(job)
        number = run.numbers[0]
        run.active_jobs[0].aux["slurm_logfile"].write_text(said)
        site.say(number, state)
        run.check()
        assert len(run.workflow.failed) == attempt
        assert job.record["out_of_memory"] == attempt * times
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


def test_a_time_limit_without_a_checkpoint_is_a_failure(site, start):
    run, job = start(), Job()
    run.submit(job)
    attempt(job, {"event": "start"})
    site.say("100", "TIMEOUT")
    run.check()
    assert run.workflow.failed == [job]
    assert "TIMEOUT" in job.errors[0]


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


@pytest.mark.parametrize("beats", [True, False])
def test_a_job_that_gives_no_sign_of_life_is_cancelled(site, start, monkeypatch, beats):
    run, job = start(), Job()
    run.submit(job)
    site.say("100", "RUNNING")
    run.check()
    lock = job.attempts.with_suffix(".lock")
    attempt(job, {"event": "start"})
    lock.touch()
    if beats:
        os.utime(lock, (time.time() + 105, time.time() + 105))
    os.utime(job.attempts, (time.time() + 1, time.time() + 1))
    later(run, monkeypatch, 110)
    assert run.numbers == (["100"] if beats else [])
    assert site.jobs()["100"]["queue"] == ("RUNNING" if beats else "CANCELLED by 0")
    assert run.workflow.failed == ([] if beats else [job])


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
