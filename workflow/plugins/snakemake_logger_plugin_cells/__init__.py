"""Snakemake logger ``cells``: which cells are done, running and left, and about how long the rest takes.

Snakemake finds it by its name when this folder's parent is on PYTHONPATH: ``snakemake --logger cells``. One
plain line is printed whenever a job starts or ends, which reads the same in a terminal and in a CI log. A dry
run, in which nothing starts, stays Snakemake's own.
"""

from __future__ import annotations

import sys
from typing import Any, TextIO

from snakemake.logging import ColorizingTextHandler
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from dataflex.watching.duration import duration
from snakemake_logger_plugin_cells.board import TIMED, Board

SHOWN = (*TIMED, "preflight_devices", "preflight_score", "upstream", "tables", "figures", "check")


class LogHandler(LogHandlerBase):
    """Prints one line for each job that starts, ends or fails, and the state of the grid."""

    def __post_init__(self) -> None:
        """Start with an empty board; the run's job counts come with the first event."""
        self.board = Board()
        self.stream: TextIO = sys.stderr
        self.own: ColorizingTextHandler | None = None
        if self.common_settings.dryrun:
            self.own = ColorizingTextHandler(
                nocolor=self.common_settings.nocolor,
                stream=sys.stdout if self.common_settings.stdout else sys.stderr,
            )

    def emit(self, record: Any) -> None:
        """Turn a log record into a line; Snakemake's events carry their fields as attributes of it."""
        if self.own is not None:
            self.own.setFormatter(self.formatter)
            self.own.emit(record)
            return
        event = getattr(record, "event", None)
        if event == LogEvent.RESOURCES_INFO:
            self.board.remote = self.board.remote or getattr(record, "nodes", None) is not None
            self.board.cores = getattr(record, "cores", None) or self.board.cores
        elif event == LogEvent.RUN_INFO:
            self.board.expect(record.stats)
            to_train, to_evaluate = self.board.left("train"), self.board.left("evaluate")
            self._line(f"{to_train} cells to train, {to_evaluate} to evaluate")
        elif event == LogEvent.JOB_INFO:
            name = "/".join(dict(record.wildcards or {}).values())
            self.board.start(record.jobid, record.rule_name, name, record.created)
            away = self.board.remote and not record.local
            self._job(record.jobid, "submitted" if away else "started", record.created)
        elif event == LogEvent.JOB_FINISHED:
            seconds = self.board.finish(record.job_id, record.created)
            since = "done, with its time in the queue, in" if self.board.remote else "done in"
            self._job(record.job_id, f"{since} {duration(seconds)}", record.created)
        elif event in (LogEvent.JOB_ERROR, LogEvent.GROUP_ERROR):
            self.board.fail(getattr(record, "jobid", -1))
            self._line(self.format(record))
        elif record.levelname in ("WARNING", "ERROR", "CRITICAL"):
            self._line(record.getMessage())
        elif event is None and "Nothing to be done" in str(record.msg):
            self._line("nothing to do: every cell is trained, evaluated and tabulated")

    def _job(self, jobid: int, what: str, now: float) -> None:
        rule, name = self.board.jobs.get(jobid, ("", ""))
        if rule in SHOWN:
            self._line(f"{rule} {name}".strip() + f": {what}. {self.board.state(now)}")

    def _line(self, text: str) -> None:
        self.stream.write(text.rstrip() + "\n")
        self.stream.flush()

    @property
    def writes_to_stream(self) -> bool:
        """It takes the place of Snakemake's own lines; those are still in .snakemake/log."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """No file."""
        return False

    @property
    def has_filter(self) -> bool:
        """It decides itself what to show, but for a dry run, which Snakemake's own filter is for."""
        return not self.common_settings.dryrun

    @property
    def has_formatter(self) -> bool:
        """Snakemake's formatter serves for errors: it adds the tail of the failed job's log."""
        return False

    @property
    def needs_rulegraph(self) -> bool:
        """No."""
        return False
