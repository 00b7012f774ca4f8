"""Snakemake executor ``slurm-cells``: Snakemake's own Slurm executor, with other answers to Slurm's faults.

A job has succeeded when its outputs are there, whatever Slurm says; one that Slurm forgot is judged by what
it left. A submission that is refused for a while is tried again. A workflow that was killed finds its jobs
when it is started anew, and waits for them instead of starting second ones. A run that was interrupted with
a checkpoint, by its time limit or for another job, is submitted again without counting as a failure.
"""

import contextlib
import shlex
import sys
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import snakemake_executor_plugin_slurm as slurm_plugin
from snakemake_executor_plugin_slurm.utils import get_job_wildcards
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from snakemake_executor_plugin_slurm_cells import records, slurm
from snakemake_executor_plugin_slurm_cells.marks import Mark, alive_at, choose, comment_of, mark_of
from snakemake_executor_plugin_slurm_cells.settings import ExecutorSettings
from snakemake_executor_plugin_slurm_cells.verdicts import (
    Said,
    Verdict,
    is_permanent,
    settled,
    verdict,
    was_memory,
    word_about,
)

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

common_settings = slurm_plugin.common_settings
FIRST_DELAY = 5.0
LONGEST_DELAY = 300.0


class Executor(slurm_plugin.Executor):
    """See the module."""

    def __post_init__(self, test_mode: bool = False) -> None:
        """Start with no job silent and no submission refused."""
        super().__post_init__(test_mode)
        self._silent_since: dict[str, float] = {}
        self._seen_running: dict[str, float] = {}
        self._refused_since: dict[JobExecutorInterface, tuple[float, int]] = {}
        self._went_on: dict[JobExecutorInterface, int] = {}
        self._unanswered = False

    def get_account_arg(self, job: JobExecutorInterface) -> Iterator[str]:
        """The account's option, none where the profile says that there is no accounting; and a comment."""
        account = "" if self.workflow.executor_settings.no_account else next(super().get_account_arg(job))
        mark = mark_of(job)
        # Of two comments sbatch takes the last one, and this comes behind Snakemake's own.
        yield account + (f" --comment {shlex.quote(comment_of(job, mark))}" if mark else "")

    def run_job(self, job: JobExecutorInterface) -> None:
        """Submit a job, or wait for the one that was submitted for it already."""
        try:
            before = self._alive_before(job)
        except Exception as error:
            # In this thread nobody else would hear of it.
            self._report_job_error_threadsafe(SubmittedJobInfo(job), str(error))
            return
        if before is None:
            super().run_job(job)
            return
        found, log = before
        self.logger.info(f"Job {job.jobid} is Slurm's job {found} already: waiting for it.")
        self._refused_since.pop(job, None)
        super()._report_job_submission_threadsafe(
            SubmittedJobInfo(job, external_jobid=found, aux={"slurm_logfile": log})
        )

    def _alive_before(self, job: JobExecutorInterface) -> tuple[str, Path] | None:
        """Number and log of a Slurm job that is alive and was submitted to do just this.

        One that is alive for the same outputs but does something else, or the same once more, is cancelled.

        Raises:
            ConnectionError: Slurm does not say what is alive.
            OSError: an input can't be read.
        """
        mark = mark_of(job)
        if mark is None:
            return None
        words = slurm.queue()
        if words is None:
            raise ConnectionError("Slurm does not say whether an earlier job for this is alive.")
        file = _place(job, "jobs", ".json")
        record = (records.read(file) if file else None) or {}
        kept, others = choose(mark, words, record)
        for number, why in others.items():
            self.logger.warning(f"Slurm's job {number} {why}: cancelled.")
            slurm.cancel(number)
        if kept is None:
            return None
        if kept == record.get("slurm_job") and record.get("log"):
            return kept, Path(record["log"])
        log = self.slurm_logdir / f"rule_{job.name}" / get_job_wildcards(job) / f"{kept}.log"
        self._note(job, kept, words[kept].name, log, mark)
        return kept, log

    def _report_job_submission_threadsafe(self, job_info: SubmittedJobInfo) -> None:
        job, number = job_info.job, str(job_info.external_jobid)
        self._refused_since.pop(job, None)
        if (mark := mark_of(job)) is not None:
            self._note(job, number, self.run_uuid, (job_info.aux or {}).get("slurm_logfile"), mark)
        super()._report_job_submission_threadsafe(job_info)

    def _note(self, job: JobExecutorInterface, number: str, name: str, log: Path | None, mark: Mark) -> None:
        """Write down Slurm's number and name of a job, and what it is for."""
        if (file := _place(job, "jobs", ".json")) is None:
            return
        try:
            records.write(file, number, name, str(log), mark.digest)
        except OSError as error:
            self.logger.warning(f"{file} can't be written: {error}")

    def _report_job_error_threadsafe(self, job_info: SubmittedJobInfo, msg: str) -> None:
        """A job could not be submitted: try again later, unless that can't help."""
        job, now, error = job_info.job, time.monotonic(), sys.exception()
        since, times = self._refused_since.get(job, (now, 0))
        if is_permanent(msg, error) or now - since > self.workflow.executor_settings.submission_patience:
            self._refused_since.pop(job, None)
            what = f" ({type(error).__name__})" if error is not None else ""
            super()._report_job_error_threadsafe(job_info, msg + what)
            return
        self._refused_since[job] = (since, times + 1)
        delay = min(FIRST_DELAY * 2**times, LONGEST_DELAY)
        self.logger.warning(
            f"Job {job.jobid} was not taken by Slurm; next try in {delay:.0f} s. {msg.strip()}"
        )
        timer = threading.Timer(delay, self._try_again, [job])
        timer.daemon = True
        timer.start()

    def _try_again(self, job: JobExecutorInterface) -> None:
        try:
            self._job_submission_executor.submit(self.run_job, job)
        except RuntimeError:
            self.logger.warning(f"Job {job.jobid} is not submitted: the workflow ends.")

    async def check_active_jobs(  # type: ignore[override]
        self, active_jobs: list[SubmittedJobInfo]
    ) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Report the jobs that have ended, and yield the others."""
        settings = self.workflow.executor_settings
        self.next_seconds_between_status_checks = settings.seconds_between_checks
        if not active_jobs:
            return
        async with self.status_rate_limiter:
            queue = slurm.queue()
        if (queue is None) != self._unanswered:
            self._unanswered = queue is None
            self.logger.warning(
                "Slurm does not answer: waiting." if self._unanswered else "Slurm answers again."
            )
        if queue is None:
            self._silent_since.clear()
            for info in active_jobs:
                yield info
            return
        self._cancel_doubles(active_jobs, queue)
        numbers = {str(info.external_jobid) for info in active_jobs}
        accounts = slurm.accounts({job for job in numbers if not settled(word_about(job, queue))})
        for info in active_jobs:
            try:
                if self._goes_on(info, queue, accounts):
                    yield info
            except OSError as error:
                self.logger.warning(f"Slurm's job {info.external_jobid} is looked at again later: {error}")
                yield info

    def _cancel_doubles(self, active_jobs: list[SubmittedJobInfo], queue: dict[str, Said]) -> None:
        """Cancel jobs of this workflow that do what others do: Slurm took them and said so to nobody."""
        known = {str(info.external_jobid) for info in active_jobs}
        others = {n: said for n, said in queue.items() if said.name == self.run_uuid and n not in known}
        for info in active_jobs if others else ():
            with contextlib.suppress(OSError):
                mark = mark_of(info.job)
                for number in alive_at(mark.place, others) if mark else ():
                    self.logger.warning(
                        f"Slurm's job {number} is {info.external_jobid} once more: cancelled."
                    )
                    slurm.cancel(number)

    def _goes_on(self, info: SubmittedJobInfo, queue: dict[str, Said], accounts: dict[str, Said]) -> bool:
        """Whether a job is still to be waited for; if not, its end is reported."""
        judged = self._judge(str(info.external_jobid), queue, accounts)
        if judged is Verdict.WAIT and self._is_a_ghost(info, queue):
            slurm.cancel(str(info.external_jobid))
            judged = Verdict.VANISHED
        if judged is Verdict.WAIT:
            return True
        if judged is Verdict.SUCCEEDED or (judged is Verdict.VANISHED and _outputs_are_there(info)):
            self.report_job_success(info)
        else:
            self._ended_badly(info, judged, word_about(str(info.external_jobid), queue))
        return False

    def _judge(self, job: str, queue: dict[str, Said], accounts: dict[str, Said]) -> Verdict:
        now = time.monotonic()
        in_queue = word_about(job, queue)
        if settled(in_queue):
            self._silent_since.pop(job, None)
        silent = now - self._silent_since.setdefault(job, now) if not settled(in_queue) else 0.0
        patience = self.workflow.executor_settings.patience
        return verdict(in_queue, word_about(job, accounts), silent, patience)

    def _is_a_ghost(self, info: SubmittedJobInfo, queue: dict[str, Said]) -> bool:
        """Whether Slurm calls a job running that gives no sign of life: its step's daemon was lost."""
        job, now = str(info.external_jobid), time.time()
        said = word_about(job, queue)
        if said is None or said.word not in ("RUNNING", "COMPLETING"):
            self._seen_running.pop(job, None)
            return False
        seen = self._seen_running.setdefault(job, now)
        heard = records.last_sign(_place(info.job, "attempts", ".jsonl"))
        # Before its first sign a job is loading: it gets three times as long.
        patience = self.workflow.executor_settings.patience * (1 if heard and heard > seen else 3)
        return now - max(seen, heard or now) > patience

    def _ended_badly(self, info: SubmittedJobInfo, judged: Verdict, said: Said | None) -> None:
        job = str(info.external_jobid)
        if judged is Verdict.STUCK:
            slurm.cancel(job)
        ended = records.ends(_place(info.job, "attempts", ".jsonl"))
        # An interruption counts once: a job that is cancelled before it begins ends with no new one.
        if records.goes_on(ended) and len(ended) > self._went_on.get(info.job, 0):
            self._went_on[info.job] = len(ended)
            self.logger.info(f"Job {info.job.jobid} was interrupted with a checkpoint: submitting it again.")
            self._try_again(info.job)
            return
        log = str((info.aux or {}).get("slurm_logfile"))
        file = _place(info.job, "jobs", ".json")
        self._seen_running.pop(job, None)
        if file is not None:
            records.ended(file, out_of_memory=was_memory(said, _text(log)))
        what = f"state {said.state}" + (f", {said.reason}" if said.reason else "") if said else "gone"
        self.report_job_error(info, msg=f"Slurm's job {job} ({what}) did not succeed.", aux_logs=[log])


def _text(file: str) -> str:
    try:
        return Path(file).read_text(errors="replace")
    except OSError:
        return ""


def _outputs_are_there(info: SubmittedJobInfo) -> bool:
    """Whether all outputs are there, and none is older than the job's submission."""
    file = _place(info.job, "jobs", ".json")
    since = file.stat().st_mtime if file is not None and file.is_file() else 0.0
    outputs = [Path(str(output)) for output in info.job.output]
    return all(output.exists() and output.stat().st_mtime >= since for output in outputs)


def _place(job: Any, kind: str, suffix: str) -> Path | None:
    logs = list(getattr(job, "log", None) or [])
    return records.place(str(logs[0]), kind, suffix) if logs else None
