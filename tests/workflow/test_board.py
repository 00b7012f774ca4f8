"""What the logger prints: counts that are true, times that were measured, and nothing of a dry run."""

import io
import logging
from types import SimpleNamespace

import pytest
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_logger_plugin_cells import LogHandler
from snakemake_logger_plugin_cells.board import Board


def test_no_time_is_told_before_every_pace_is_measured():
    board = Board()
    board.cores = 2
    board.expect({"train": 4, "evaluate": 2, "collect": 1, "total": 7})
    for jobid in (1, 2):
        board.start(jobid, "train", f"cell{jobid}", 0.0)
    assert board.state(0.0) == "[0/4 trained, 0/2 evaluated, 2 running]"
    assert board.finish(1, 30.0) == 30.0
    assert board.left("train") == 3
    # Of the evaluations nobody knows yet how long they take.
    assert board.seconds_left(30.0) is None
    board.start(3, "evaluate", "cell1", 30.0)
    board.finish(3, 50.0)
    # 3 trainings at 30 s, one of them over, 1 evaluation at 20 s, 1 short job; two at a time
    assert board.seconds_left(50.0) == pytest.approx((3 * 30 + 20 + 1 - 30) / 2)
    assert board.state(50.0) == "[1/4 trained, 1/2 evaluated, 1 running, about 40 s left]"


def test_jobs_in_a_queue_show_no_pace():
    board = Board()
    board.remote = True
    board.expect({"train": 2})
    board.start(1, "train", "cell1", 0.0)
    board.finish(1, 30.0)
    board.start(2, "train", "cell2", 30.0)
    assert board.state(60.0) == "[1/2 trained, 1 submitted]"


def test_a_job_that_failed_is_not_under_way():
    board = Board()
    board.expect({"train": 1})
    board.start(1, "train", "cell1", 0.0)
    board.fail(1)
    assert board.state(9.0) == "[0/1 trained, 0 running]"
    assert board.left("train") == 1


@pytest.fixture
def told():
    """A handler and what it prints; records are given as Snakemake gives them."""

    def make(dryrun=False):
        handler = LogHandler(SimpleNamespace(dryrun=dryrun, nocolor=True, stdout=True), None)
        handler.stream = io.StringIO()

        def tell(event, **fields):
            record = logging.LogRecord("snakemake", logging.INFO, "", 0, fields.pop("msg", None), (), None)
            record.__dict__ |= {"event": event, "created": 100.0, **fields}
            handler.handle(record)
            return handler.stream.getvalue().splitlines()

        return handler, tell

    return make


def job(number, rule="train", local=False):
    return {"jobid": number, "rule_name": rule, "wildcards": {"cell": f"c{number}"}, "local": local}


def test_what_is_handed_to_a_cluster_is_submitted_and_not_running(told):
    _, tell = told()
    tell(LogEvent.RESOURCES_INFO, msg="Provided remote nodes: 100", nodes=100)
    tell(LogEvent.RUN_INFO, stats={"train": 2, "check": 1, "total": 3})
    assert tell(LogEvent.JOB_INFO, **job(1))[-1] == "train c1: submitted. [0/2 trained, 1 submitted]"
    assert tell(LogEvent.JOB_INFO, **job(2, "check", local=True))[-1].startswith("check c2: started. ")
    ended = tell(LogEvent.JOB_FINISHED, job_id=1, created=160.0)[-1]
    assert ended == "train c1: done, with its time in the queue, in 1 min 00 s. [1/2 trained, 0 submitted]"


def test_what_runs_here_is_started(told):
    handler, tell = told()
    tell(LogEvent.RESOURCES_INFO, msg="Provided cores: 3", cores=3)
    tell(LogEvent.RUN_INFO, stats={"train": 2, "total": 2})
    assert tell(LogEvent.JOB_INFO, **job(1))[-1] == "train c1: started. [0/2 trained, 1 running]"
    assert handler.board.cores == 3


def test_a_dry_run_is_snakemakes_own(told, monkeypatch):
    handler, tell = told(dryrun=True)
    handler.setFormatter(logging.Formatter("Snakemake says: %(message)s"))
    handler.own.stream = io.StringIO()
    assert tell(LogEvent.JOB_INFO, **job(1), msg="rule train") == []
    assert handler.own.stream.getvalue().strip() == "Snakemake says: rule train"
    # Its own filter leaves out what it would, as commands that nobody asked for.
    assert handler.has_filter is False
