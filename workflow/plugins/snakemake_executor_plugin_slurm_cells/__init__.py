"""Snakemake executor ``slurm-cells``: Snakemake's own Slurm executor, with other answers to Slurm's faults.

A job has succeeded when its outputs are there, whatever Slurm says; one that Slurm forgot is judged by what
it left. A submission that is refused for a while is tried again. A workflow that was killed finds its jobs
when it is started anew, and waits for them instead of starting second ones. A run that was interrupted with
a checkpoint, by its time limit or for another job, is submitted again without counting as a failure. Jobs of
a rule that are ready together and ask for the same go to Slurm as one array, if the rule is named for it.
"""

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

    def run_jobs(self, jobs: list[JobExecutorInterface]) -> None:
        """Submit jobs: those that ask for the same as arrays, where their rule is named for it."""
        arrays = self.array_jobs
        alike: dict[tuple[str, str], list[JobExecutorInterface]] = {}
        rest = []
        for job in jobs:
            if not job.is_group() and arrays & {job.rule.name, "all"} and self._alive_before(job) is None:
                asked = sorted((name, str(value)) for name, value in job.resources.items())
                alike.setdefault((job.rule.name, str((job.threads, asked))), []).append(job)
            else:
                rest.append(job)
        for same in alike.values():
            if len(same) > 1:
                self._submit_array_jobs(same)
            else:
                rest += same
        # An array that waits for all of a rule's jobs would hold back those that are ready.
        self.array_jobs = set()
        try:
            super().run_jobs(rest)
        finally:
            self.array_jobs = arrays

    def get_account_arg(self, job: JobExecutorInterface) -> Iterator[str]:
        """The account's option; none where the profile says that there is no accounting."""
        if self.workflow.executor_settings.no_account:
            yield ""
        else:
            yield from super().get_account_arg(job)

    def run_job(self, job: JobExecutorInterface) -> None:
        """Submit a job, or wait for the one that an earlier workflow has submitted for it."""
        before = self._alive_before(job)
        if before is None:
            super().run_job(job)
            return
        found, log = before
        self.logger.info(f"Job {job.jobid} is Slurm's job {found} already: waiting for it.")
        self._report_job_submission_threadsafe(
            SubmittedJobInfo(job, external_jobid=found, aux={"slurm_logfile": log})
        )

    def _alive_before(self, job: JobExecutorInterface) -> tuple[str, Path] | None:
        """Number and log of a Slurm job that is alive and was submitted for this job."""
        file = _place(job, "jobs", ".json")
        record = records.read(file) if file else None
        if record is None:
            return None
        words = slurm.queue()
        said = word_about(record["slurm_job"], words) if words else None
        if said is None or said.word not in ALIVE:
            return None
        return record["slurm_job"], Path(record.get("log") or "unknown")

    def _report_job_submission_threadsafe(self, job_info: SubmittedJobInfo) -> None:
        self._refused_since.pop(job_info.job, None)
        if (file := _place(job_info.job, "jobs", ".json")) is not None:
            records.write(file, str(job_info.external_jobid), str((job_info.aux or {}).get("slurm_logfile")))
        super()._report_job_submission_threadsafe(job_info)

    def _report_job_error_threadsafe(self, job_info: SubmittedJobInfo, msg: str) -> None:
        """A job could not be submitted: try again later, unless that can't help."""
        job, now = job_info.job, time.monotonic()
        since, times = self._refused_since.get(job, (now, 0))
        if is_permanent(msg) or now - since > self.workflow.executor_settings.submission_patience:
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
            for info in active_jobs:
                yield info
            return
        numbers = {str(info.external_jobid) for info in active_jobs}
        accounts = slurm.accounts({job for job in numbers if not settled(word_about(job, queue))})
        for info in active_jobs:
            judged = self._judge(str(info.external_jobid), queue, accounts)
            if judged is Verdict.WAIT and self._is_a_ghost(info, queue):
                slurm.cancel(str(info.external_jobid))
                judged = Verdict.VANISHED
            if judged is Verdict.WAIT:
                yield info
            elif judged is Verdict.SUCCEEDED or (judged is Verdict.VANISHED and _outputs_are_there(info)):
                self.report_job_success(info)
            else:
                self._ended_badly(info, judged, word_about(str(info.external_jobid), queue))

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
        heard = records.last_sign(_place(info.job, "attempts", ".jsonl"))
        since = max(self._seen_running.setdefault(job, now), heard or now)
        return now - since > self.workflow.executor_settings.patience

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
        if file is not None and was_memory(said, _text(log)):
            records.ran_out_of_memory(file)
        what = f"state {said.state}" + (f", {said.reason}" if said.reason else "") if said else "gone"
        self.report_job_error(info, msg=f"Slurm's job {job} ({what}) did not succeed.", aux_logs=[log])


def _text(file: str) -> str:
    try:
        return Path(file).read_text(errors="replace")
    except OSError:
        return ""


def _outputs_are_there(info: SubmittedJobInfo) -> bool:
    return all(Path(str(file)).exists() for file in info.job.output)


def _place(job: Any, kind: str, suffix: str) -> Path | None:
    logs = list(getattr(job, "log", None) or [])
    return records.place(str(logs[0]), kind, suffix) if logs else None
