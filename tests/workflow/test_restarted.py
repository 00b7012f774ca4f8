"""A job that Slurm starts again: it does nothing where its sentinel is there, and runs wherever there is doubt."""

import os
import subprocess
import time

import pytest

from tests.workflow.bench import Job


def begin(run, job, **environment):
    """What the job's script does on a node, with ``echo`` for Snakemake."""
    script = f"{run.get_job_exec_prefix(job)} && echo runs"
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize(
    ("content", "age", "restarts", "runs"),
    [
        ('{"weights": "abc"}', -5, "1", False),
        ('{"weights": "abc"}', -5, "2", False),
        # Its first start: the sentinel is another job's, to be made anew.
        ('{"weights": "abc"}', -5, "0", True),
        ('{"weights": "abc"}', -5, "", True),
        # What the job was submitted to replace.
        ('{"weights": "abc"}', 500, "1", True),
        ('{"weig', -5, "1", True),
        (None, 0, "1", True),
    ],
)
def test_a_restart_runs_unless_its_sentinel_is_there(start, content, age, restarts, runs):
    run, job = start(), Job()
    if content is not None:
        job.made.write_text(content)
        written = time.time() - age
        os.utime(job.made, (written, written))
    said = begin(run, job, SLURM_RESTART_COUNT=restarts)
    assert said.endswith("runs\n") is runs
    assert (str(job.made) in said) is not runs


def test_without_slurms_word_it_is_no_restart(start, monkeypatch):
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)
    run, job = start(), Job()
    job.made.write_text("{}")
    assert begin(run, job) == "runs\n"


@pytest.mark.parametrize(
    ("attempts", "runs"),
    [
        (['{"event": "start"}', '{"event": "end", "status": 0}'], False),
        (['{"event": "end", "status": 0}', '{"event": "start"}'], True),
        (['{"event": "start"}', '{"event": "end", "status": 1}'], True),
        (['{"event": "end", "sta'], True),
        (["[]"], True),
        ([], True),
        (None, True),
    ],
)
def test_results_that_are_not_written_at_once_need_a_good_end(start, attempts, runs):
    run, job = start(), Job(rule="evaluate")
    job.output = [job.made.with_name("metrics.json"), job.made.with_name("held_out.csv")]
    for output in job.output:
        output.write_text("anything")
    if attempts is not None:
        job.attempts.write_text("".join(f"{line}\n" for line in attempts))
    assert begin(run, job, SLURM_RESTART_COUNT="1").endswith("runs\n") is runs


def test_a_job_of_which_no_attempts_are_kept_runs(start):
    run, job = start(), Job(rule="tables")
    job.output, job.log = [job.made.with_name("results.md")], []
    assert run.get_job_exec_prefix(job) == ""


def test_a_group_of_jobs_runs(start, monkeypatch):
    run, job = start(), Job()
    monkeypatch.setattr(job, "is_group", lambda: True)
    assert run.get_job_exec_prefix(job) == ""


def test_the_question_stands_first_in_what_is_submitted(site, start):
    run, job = start(), Job()
    run.submit(job)
    ((_, submitted),) = site.jobs().items()
    assert submitted["command"].startswith("if ")
    assert "restarted.py" in submitted["command"].partition("; then exit 0; fi && ")[0]
