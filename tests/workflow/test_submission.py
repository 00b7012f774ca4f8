"""What the executor submits, waits for and cancels, beside a site that refuses, forgets and remembers jobs."""

import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import snakemake_executor_plugin_slurm_cells as plugin
from snakemake.io import IOFile, ancient
from snakemake_executor_plugin_slurm_cells import waiting
from snakemake_executor_plugin_slurm_cells.marks import MARK, comment_of
from snakemake_executor_plugin_slurm_cells.verdicts import is_permanent
from snakemake_interface_common.exceptions import WorkflowError

from tests.workflow.bench import Job, until

TRANSIENT = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"


def test_a_workflow_that_was_killed_waits_for_its_job(site, start):
    start().submit(Job())
    (number,) = site.jobs()
    again, job = start(), Job()
    again.submit(job)
    assert list(site.jobs()) == [number] == again.numbers
    assert "%j" not in str(again.active_jobs[0].aux["slurm_logfile"])
    site.say(number, "COMPLETED")
    again.check()
    assert again.workflow.finished == [job]


@pytest.mark.parametrize("lost", ["record", "comment"])
def test_either_the_record_or_the_comment_is_enough(site, start, lost):
    start().submit(Job())
    (number,) = site.jobs()
    log = Job().record["log"]
    if lost == "record":
        # The workflow was killed before sbatch had answered.
        Path("jobs/train/less.seed1.json").unlink()
    else:
        site.say(number, "RUNNING", comment="billed to project 7")
    again, job = start(), Job()
    again.submit(job)
    assert list(site.jobs()) == [number] == again.numbers
    assert str(again.active_jobs[0].aux["slurm_logfile"]) == log == job.record["log"]
    # A third workflow finds it, too.
    assert start().submit(Job()).numbers == [number]


@pytest.mark.parametrize("state", ["COMPLETED", "CANCELLED by 0", "TIMEOUT", "COMPLETING", "NODE_FAIL"])
def test_a_job_that_has_ended_is_not_waited_for(site, start, state):
    start().submit(Job())
    site.say("100", state)
    assert start().submit(Job()).numbers == ["101"]


def test_a_ghost_in_the_records_is_not_waited_for(site, start):
    start().submit(Job())
    site.say("100", None)
    again, job = start(), Job()
    again.submit(job)
    assert again.numbers == ["101"]
    assert job.record["slurm_job"] == "101"


def test_a_number_that_came_again_is_somebody_elses(site, start):
    start().submit(Job())
    site.say("100", "RUNNING", name="another workflow", comment="")
    assert start().submit(Job()).numbers == ["101"]
    assert site.jobs()["100"]["queue"] == "RUNNING"


@pytest.mark.parametrize("change", ["params", "config"])
@pytest.mark.parametrize("known_by", ["record and comment", "comment"])
def test_what_is_no_longer_asked_is_cancelled(site, start, change, known_by):
    start().submit(Job())
    if known_by == "comment":
        Path("jobs/train/less.seed1.json").unlink()
    if change == "config":
        Path("configs/less.seed1.yaml").write_text("learning_rate: 2\n")
    run = start().submit(Job(steps=20) if change == "params" else Job())
    assert site.jobs()["100"]["queue"] == "CANCELLED by 0"
    assert run.numbers == ["101"]


def test_a_check_that_was_made_again_cancels_nothing(site, start):
    """What only releases a job is ancient: its text, as how much room is free, is not what is trained."""
    released = Path("preflight/selection.json")
    released.parent.mkdir()
    for room in ("900.1 GB free", "899.0 GB free"):
        released.write_text(room)
        run, job = start(), Job()
        job.input.append(IOFile(ancient(str(released))))
        assert run.submit(job).numbers == ["100"]
    assert list(site.jobs()) == ["100"]


def test_jobs_of_one_name_are_told_apart(site, start):
    """All jobs of a workflow have its name in Slurm."""
    first = start()
    for cell in ("less.seed1", "less.seed2"):
        first.submit(Job(cell))
    again = start()
    for cell in ("less.seed2", "less.seed1"):
        again.submit(Job(cell))
    assert again.numbers == ["101", "100"]
    assert len(site.jobs()) == 2


def test_the_same_cell_of_another_folder_is_another_job(site, start, tmp_path, monkeypatch):
    start().submit(Job())
    other = tmp_path / "checkout"
    other.mkdir()
    monkeypatch.chdir(other)
    assert start().submit(Job()).numbers == ["101"]
    assert site.jobs()["100"]["queue"] == "PENDING"


def test_of_two_jobs_for_one_cell_the_one_that_runs_is_kept(site, start):
    start().submit(Job())
    twin = site.submit("workflow", site.jobs()["100"]["comment"])
    site.say("100", "PENDING")
    assert start().submit(Job()).numbers == [twin]
    assert site.jobs()["100"]["queue"] == "CANCELLED by 0"


def test_nothing_is_submitted_while_the_queue_is_unknown(site, start, at_once):
    run, job = start(), Job()
    site.down("squeue")
    run.submit(job)
    time.sleep(0.2)
    assert not site.jobs()
    assert not job.errors
    site.down()
    until(lambda: run.numbers)
    assert list(site.jobs()) == ["100"] == run.numbers


def test_a_refusal_that_passes_is_tried_again(site, start, at_once):
    run, job = start(), Job()
    site.answer("sbatch", {"said": TRANSIENT}, {"said": TRANSIENT})
    run.submit(job)
    until(lambda: run.numbers)
    assert list(site.jobs()) == ["100"] == run.numbers
    assert not job.errors


@pytest.mark.parametrize(
    "said",
    [
        "sbatch: error: Batch job submission failed: Invalid account or account/partition combination",
        "sbatch: error: invalid partition specified: gpux",
        "sbatch: error: Memory specification can not be satisfied",
    ],
)
def test_a_refusal_for_good_is_named_at_once(site, start, said):
    run, job = start(), Job()
    site.answer("sbatch", {"said": said}, {"said": said})
    run.submit(job)
    assert run.workflow.failed == [job]
    assert said in job.errors[0]
    assert not site.jobs()
    assert job.is_given_up


@pytest.mark.parametrize(
    ("said", "change"),
    [
        ("Batch job submission failed: Invalid account or account/partition combination", "slurm_account"),
        ("invalid partition specified: gpux", "slurm_partition"),
        ("Batch job submission failed: Requested time limit is invalid (missing or exceeds)", "longest"),
        ("Batch job submission failed: Requested node configuration is not available", "gpus_per_node"),
        ("Batch job submission failed: CPU count per node can not be satisfied", "set-threads"),
        ("Batch job submission failed: Memory specification can not be satisfied", "set-resources"),
        ("Batch job submission failed: Invalid generic resource (gres) specification", "gpus_per_node"),
        ("Batch job submission failed: Invalid qos specification", "qos"),
        ("Batch job submission failed: Invalid feature specification", "constraint"),
    ],
)
def test_a_refusal_says_what_to_change(site, start, said, change):
    run, job = start(), Job()
    site.answer("sbatch", {"said": f"sbatch: error: {said}"})
    run.submit(job)
    (told,) = job.errors
    assert change in told.splitlines()[-1]


def test_a_limit_on_jobs_passes_and_is_spoken_of(site, start, at_once):
    said = "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size "
    said += "and/or time limits)"
    assert not is_permanent(said)
    assert "lower `jobs`" in waiting.refused(said)
    run, job = start(submission_patience=0), Job()
    site.answer("sbatch", {"said": said}, {"said": said}, {"said": said})
    run.submit(job)
    until(lambda: run.workflow.failed)
    # Its turn may come yet.
    assert not job.is_given_up


def test_no_advice_where_nobody_knows():
    assert waiting.refused("sbatch: error: Batch job submission failed: Something new") is None
    # An error of ours may name anything.
    assert waiting.refused("KeyError: 'account'") is None


def test_without_slurms_commands_it_is_said_at_once(site, start, monkeypatch, tmp_path):
    (tmp_path / "which").symlink_to(shutil.which("which"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WorkflowError, match=r"sbatch, squeue, scancel not found.*login node"):
        start()


def test_patience_with_refusals_has_an_end(site, start, at_once):
    run, job = start(submission_patience=0), Job()
    site.answer("sbatch", *[{"said": TRANSIENT}] * 5)
    run.submit(job)
    until(lambda: run.workflow.failed)
    assert TRANSIENT in job.errors[0]


def test_a_job_that_was_taken_without_an_answer_is_not_submitted_again(site, start, at_once):
    run, job = start(), Job()
    site.answer("sbatch", {"said": TRANSIENT, "taken": True})
    run.submit(job)
    until(lambda: run.numbers)
    assert list(site.jobs()) == ["100"] == run.numbers
    assert job.record["slurm_job"] == "100"


def test_an_answer_without_a_number_is_no_second_job(site, start, at_once):
    run = start()
    site.answer("sbatch", {"printed": "lua: thank you for job submission"})
    run.submit(Job())
    until(lambda: run.numbers)
    assert list(site.jobs()) == ["100"] == run.numbers


def test_a_submission_that_hangs_is_ended_and_tried_again(site, start, at_once, monkeypatch, caplog):
    monkeypatch.setattr(plugin, "LONGEST_SUBMISSION", 0.5)
    run, begin = start(), time.monotonic()
    site.answer("sbatch", {"hangs": 60})
    run.submit(Job())
    monkeypatch.setattr(plugin, "LONGEST_SUBMISSION", 60.0)
    until(lambda: run.numbers)
    assert time.monotonic() - begin < 40
    assert list(site.jobs()) == ["100"] == run.numbers
    assert "sbatch has not answered" in caplog.text


def test_a_job_that_appears_late_is_cancelled(site, start):
    run, job = start(), Job()
    run.submit(job)
    late = site.submit(run.run_uuid, site.jobs()["100"]["comment"], "PENDING")
    other = site.submit("another workflow", site.jobs()["100"]["comment"], "PENDING")
    assert run.check().numbers == ["100"]
    assert [site.jobs()[number]["queue"] for number in ("100", late, other)] == [
        "PENDING",
        "CANCELLED by 0",
        "PENDING",
    ]


@pytest.mark.parametrize("where", ["before", "in"])
def test_an_error_of_ours_is_told_at_once(site, start, where, monkeypatch):
    run, job = start(), Job()
    if where == "before":
        job.params = None
    else:
        job.asks(slurm_extra="--mem=4")
    run.submit(job)
    assert run.workflow.failed == [job]
    assert ("AttributeError" if where == "before" else "slurm_extra") in job.errors[0]
    assert not site.jobs()


def test_a_mark_is_read_from_any_comment():
    job = SimpleNamespace(name="train", wildcards=["a b", "c|d"])
    assert MARK.search(comment_of(job, "cells:0123456789abcdef:fedcba9876543210"))[2] == "fedcba9876543210"
    assert MARK.search("cells:0123") is None
