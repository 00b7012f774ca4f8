"""Snakemake executor ``slurm-cells``: Snakemake's own Slurm executor, with other answers to Slurm's faults.

A job has succeeded when its outputs are there, whatever Slurm says; one that Slurm forgot is judged by what
it left. A submission that is refused for a while is tried again. A workflow that was killed finds its jobs
when it is started anew, and waits for them instead of starting second ones. A run that was interrupted with
a checkpoint, by its time limit or for another job, is submitted again without counting as a failure.
"""

import hashlib
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import snakemake_executor_plugin_slurm as slurm_plugin
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from snakemake_executor_plugin_slurm_cells import records, slurm
from snakemake_executor_plugin_slurm_cells.verdicts import (
    ALIVE,
    Said,
    Verdict,
    is_permanent,
    settled,
    verdict,
    was_memory,
    word_about,
)

common_settings = slurm_plugin.common_settings
FIRST_DELAY = 5.0
LONGEST_DELAY = 300.0
SMALL = 2**20
"""Bytes below which an input is a sentinel or a config."""


@dataclass
class ExecutorSettings(slurm_plugin.ExecutorSettings):
    """Settings of the Slurm executor, and how long to be patient with Slurm."""

    patience: int = field(
        default=180,
        metadata={
            "help": "Seconds for which a job may be unknown to Slurm, or lost with its node, before it is "
            "judged by the files that it left."
        },
    )
    submission_patience: int = field(
        default=21600,
        metadata={"help": "Seconds for which a submission that Slurm refuses is tried again."},
    )
    seconds_between_checks: int = field(
        default=15, metadata={"help": "Seconds between two questions to Slurm about the jobs."}
    )


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
        """The account's option; none where the profile says that there is no accounting."""
        if self.workflow.executor_settings.no_account:
            yield ""
        else:
            yield from super().get_account_arg(job)

    def run_job(self, job: JobExecutorInterface) -> None:
        """Submit a job, or wait for the one that an earlier workflow has submitted for it."""
        try:
            before = self._alive_before(job)
        except (OSError, ConnectionError) as error:
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

        Raises:
            ConnectionError: Slurm does not say whether it is alive.
        """
        file = _place(job, "jobs", ".json")
        record = records.read(file) if file else None
        if record is None or not record.get("slurm_job"):
            return None
        words = slurm.queue()
        if words is None:
            raise ConnectionError("Slurm does not say whether an earlier job for this is alive.")
        said = word_about(record["slurm_job"], words)
        if said is None or said.name != record.get("name") or said.word not in ALIVE - {"COMPLETING"}:
            return None
        if record.get("digest") != _digest(job):
            self.logger.warning(f"Slurm's job {record['slurm_job']} does what is no longer asked: cancelled.")
            slurm.cancel(record["slurm_job"])
            return None
        return record["slurm_job"], Path(record.get("log") or "unknown")

    def _report_job_submission_threadsafe(self, job_info: SubmittedJobInfo) -> None:
        job = job_info.job
        self._refused_since.pop(job, None)
        if (file := _place(job, "jobs", ".json")) is not None:
            log = str((job_info.aux or {}).get("slurm_logfile"))
            try:
                records.write(file, str(job_info.external_jobid), self.run_uuid, log, _digest(job))
            except OSError as error:
                self.logger.warning(f"{file} can't be written, so that nobody finds this job again: {error}")
        super()._report_job_submission_threadsafe(job_info)

    def _report_job_error_threadsafe(self, job_info: SubmittedJobInfo, msg: str) -> None:
        """A job could not be submitted: try again later, unless that can't help."""
        job, now = job_info.job, time.monotonic()
        since, times = self._refused_since.get(job, (now, 0))
        if is_permanent(msg) or now - since > self.workflow.executor_settings.submission_patience:
            self._refused_since.pop(job, None)
            super()._report_job_error_threadsafe(job_info, msg)
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
        numbers = {str(info.external_jobid) for info in active_jobs}
        accounts = slurm.accounts({job for job in numbers if not settled(word_about(job, queue))})
        for info in active_jobs:
            try:
                if self._goes_on(info, queue, accounts):
                    yield info
            except OSError as error:
                self.logger.warning(f"Slurm's job {info.external_jobid} is looked at again later: {error}")
                yield info

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


def _digest(job: Any) -> str:
    """What a job does, and to what: its rule, its parameters, its sentinels and its config."""
    digest = hashlib.sha256(f"{job.rule.name} {dict(job.params.items())}".encode())
    for file in sorted({Path(str(name)) for name in job.input}):
        if file.is_file() and file.stat().st_size < SMALL:
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _place(job: Any, kind: str, suffix: str) -> Path | None:
    logs = list(getattr(job, "log", None) or [])
    return records.place(str(logs[0]), kind, suffix) if logs else None
