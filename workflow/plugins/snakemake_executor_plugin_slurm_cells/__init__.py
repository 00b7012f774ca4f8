"""Snakemake executor ``slurm-cells``: Snakemake's own Slurm executor, with other answers to Slurm's faults.

A job has succeeded when its outputs are there, whatever Slurm says; one that Slurm forgot is judged by what
it left. A submission that is refused for a while is tried again. A workflow that was killed finds its jobs
when it is started anew, and waits for them instead of starting second ones. A run that has made a checkpoint
before it ended, however it did, is submitted again without counting as a failure.
"""

import contextlib
import platform
import shlex
import sys
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import psutil
import snakemake_executor_plugin_slurm as slurm_plugin
from snakemake_executor_plugin_slurm.utils import get_job_wildcards
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from snakemake_executor_plugin_slurm_cells import cells, records, restarted, slurm, waiting
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
LONGEST_SUBMISSION = 300.0
"""Seconds after which a submission without an answer is ended: it would keep all others from Slurm."""
NODE_TIMEOUT = 300
"""Slurm's own default of the seconds after which a silent node is lost, where it does not tell."""
MARGIN = 120
"""Seconds that Slurm gets beyond that to find the node lost and to start its jobs again."""
SECOND_LOOK = 30.0
"""Seconds for which a job has to be found dead: three beats of a lock."""
WORTH_A_WORD = 600.0
"""Seconds after which a job that waits for more than its turn is spoken of."""


class Executor(slurm_plugin.Executor):
    """See the module."""

    def __post_init__(self, test_mode: bool = False) -> None:
        """Start with no job silent and no submission refused."""
        if absent := slurm.missing():
            raise WorkflowError(
                f"{', '.join(absent)} not found on {platform.node()}: start the workflow where jobs are "
                "submitted, on a login node; some sites want `module load slurm` first."
            )
        super().__post_init__(test_mode)
        self._silent_since: dict[str, float] = {}
        self._seen_running: dict[str, float] = {}
        self._taken_for_dead: dict[str, float] = {}
        self._waits: dict[str, tuple[str, float]] = {}
        self._spoken_of: set[tuple[str, str]] = set()
        self._unreadable_since: dict[str, float] = {}
        self._node_timeout: int | None = None
        self._refused_since: dict[JobExecutorInterface, tuple[float, int]] = {}
        self._went_on: dict[JobExecutorInterface, int] = {}
        self._unanswered = False

    def get_account_arg(self, job: JobExecutorInterface) -> Iterator[str]:
        """The account's option, none where the profile says that there is no accounting; and a comment."""
        account = "" if self.workflow.executor_settings.no_account else next(super().get_account_arg(job))
        mark = mark_of(job)
        # Of two comments sbatch takes the last one, and this comes behind Snakemake's own.
        yield account + (f" --comment {shlex.quote(comment_of(job, mark))}" if mark else "")

    def additional_general_args(self) -> str:
        """What Snakemake is told within the job: to run it behind the relay of notices."""
        asked = str(super().additional_general_args())
        # What the tasks of an array are to do is handed to Snakemake's own.
        return asked if self.array_jobs else asked.replace("slurm-jobstep", "slurm-cells-jobstep")

    def get_job_exec_prefix(self, job: JobExecutorInterface) -> str:
        """What stands before the job's command: one that Slurm starts again after its end does nothing."""
        outputs = [] if self.array_jobs or job.is_group() else [str(output) for output in job.output]
        sentinels = all(cells.SENTINEL.search(output) for output in outputs)
        attempts = "-" if sentinels else cells.place(job, "attempts", ".jsonl")
        if not outputs or attempts is None:
            return str(super().get_job_exec_prefix(job))
        words = [self.get_python_executable(), "-S", "-E", restarted.__file__, str(int(time.time()))]
        return f"if {shlex.join([*words, str(attempts), *outputs])}; then exit 0; fi"

    def run_job(self, job: JobExecutorInterface) -> None:
        """Submit a job, or wait for the one that was submitted for it already."""
        try:
            mark = mark_of(job)
            before = self._alive_before(job, mark)
        except Exception as error:
            # In this thread nobody else would hear of it.
            self._report_job_error_threadsafe(SubmittedJobInfo(job), str(error))
            return
        if before is None:
            watch = threading.Timer(LONGEST_SUBMISSION, self._end_submission, [job, mark])
            watch.daemon = True
            watch.start()
            super().run_job(job)
            watch.cancel()
            return
        found, log = before
        self.logger.info(f"Job {job.jobid} is Slurm's job {found} already: waiting for it.")
        self._refused_since.pop(job, None)
        super()._report_job_submission_threadsafe(
            SubmittedJobInfo(job, external_jobid=found, aux={"slurm_logfile": log})
        )

    def _end_submission(self, job: JobExecutorInterface, mark: Mark | None) -> None:
        """End an sbatch that does not answer; whether it has taken the job is asked before the next try."""
        for process in psutil.Process().children(recursive=True) if mark else ():
            with contextlib.suppress(psutil.Error):
                if str(mark) in " ".join(process.cmdline()):
                    self.logger.warning(f"sbatch has not answered about job {job.jobid}: it is ended.")
                    process.kill()

    def _alive_before(self, job: JobExecutorInterface, mark: Mark | None) -> tuple[str, Path] | None:
        """Number and log of a Slurm job that is alive and was submitted to do just this.

        One that is alive for the same outputs but does something else, or the same once more, is cancelled.

        Raises:
            ConnectionError: Slurm does not say what is alive.
            OSError: an input can't be read.
        """
        if mark is None:
            return None
        words = slurm.queue()
        if words is None:
            raise ConnectionError("Slurm does not say whether an earlier job for this is alive.")
        file = cells.place(job, "jobs", ".json")
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
        if (file := cells.place(job, "jobs", ".json")) is None:
            return
        try:
            asks = dict(job.resources.items())
            records.write(file, number, name, str(log), mark.digest, cells.reached(job), asks)
        except OSError as error:
            self.logger.warning(f"{file} can't be written: {error}")

    def _report_job_error_threadsafe(self, job_info: SubmittedJobInfo, msg: str) -> None:
        """A job could not be submitted: try again later, unless that can't help."""
        job, now, error = job_info.job, time.monotonic(), sys.exception()
        since, times = self._refused_since.get(job, (now, 0))
        permanent, advice = is_permanent(msg, error), waiting.refused(msg)
        told = f"\n{advice}" if advice else ""
        if permanent or now - since > self.workflow.executor_settings.submission_patience:
            self._refused_since.pop(job, None)
            what = f" ({type(error).__name__})" if error is not None else ""
            if permanent:
                job.attempt = job.restart_times + 1
            super()._report_job_error_threadsafe(job_info, msg.strip() + what + told)
            return
        self._refused_since[job] = (since, times + 1)
        delay = min(FIRST_DELAY * 2**times, LONGEST_DELAY)
        self.logger.warning(
            f"Job {job.jobid} was not taken by Slurm; next try in {delay:.0f} s. {msg.strip()}{told}"
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
            self._taken_for_dead.clear()
            for info in active_jobs:
                yield info
            return
        self._cancel_doubles(active_jobs, queue)
        numbers = {str(info.external_jobid) for info in active_jobs}
        accounts = slurm.accounts({job for job in numbers if not settled(word_about(job, queue))})
        for info in active_jobs:
            try:
                goes_on = self._goes_on(info, queue, accounts)
                self._unreadable_since.pop(str(info.external_jobid), None)
            except OSError as error:
                goes_on = self._is_looked_at_later(info, error)
            if goes_on:
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

    def _is_looked_at_later(self, info: SubmittedJobInfo, error: OSError) -> bool:
        """Whether a job whose files can't be read is waited for; if not, its end is reported."""
        job, now = str(info.external_jobid), time.monotonic()
        # The file server is away, for all of them.
        self._taken_for_dead.clear()
        if job not in self._unreadable_since:
            self.logger.warning(f"Slurm's job {job} is looked at again later: {error}")
        since = self._unreadable_since.setdefault(job, now)
        if now - since <= self.workflow.executor_settings.submission_patience:
            return True
        del self._unreadable_since[job]
        self.report_job_error(
            info, msg=f"What Slurm's job {job} left can't be read for {now - since:.0f} s: {error}."
        )
        return False

    def _goes_on(self, info: SubmittedJobInfo, queue: dict[str, Said], accounts: dict[str, Said]) -> bool:
        """Whether a job is still to be waited for; if not, its end is reported."""
        job = str(info.external_jobid)
        said = word_about(job, queue)
        judged = self._judge(job, queue, accounts)
        if judged is Verdict.VANISHED and records.beats(
            cells.place(info.job, "attempts", ".jsonl"), self.workflow.executor_settings.patience
        ):
            # Slurm may know nothing of it: it works, and a second one would wait for its lock.
            judged = Verdict.WAIT
        if judged is Verdict.WAIT and self._is_a_ghost(info, said):
            slurm.cancel(job)
            judged = Verdict.VANISHED
        why = self._can_never_start(info, said) if judged is Verdict.WAIT else None
        if judged is Verdict.WAIT and why is None:
            return True
        if why is not None or judged is Verdict.STUCK:
            slurm.cancel(job)
        self._seen_running.pop(job, None)
        self._taken_for_dead.pop(job, None)
        self._waits.pop(job, None)
        if judged is Verdict.SUCCEEDED or cells.has_succeeded(info.job, forgotten=judged is Verdict.VANISHED):
            self.report_job_success(info)
        elif why is not None:
            self.report_job_error(info, msg=f"Slurm's job {job} can't start ({why}).")
        else:
            self._ended_badly(info, said or word_about(job, accounts))
        return False

    def _judge(self, job: str, queue: dict[str, Said], accounts: dict[str, Said]) -> Verdict:
        now = time.monotonic()
        in_queue = word_about(job, queue)
        if settled(in_queue):
            self._silent_since.pop(job, None)
        silent = now - self._silent_since.setdefault(job, now) if not settled(in_queue) else 0.0
        patience = self.workflow.executor_settings.patience
        return verdict(in_queue, word_about(job, accounts), silent, patience)

    def _is_a_ghost(self, info: SubmittedJobInfo, said: Said | None) -> bool:
        """Whether Slurm calls a job running that gives no sign of life: its step's daemon was lost."""
        job, now = str(info.external_jobid), time.monotonic()
        if said is None or said.word not in ("RUNNING", "COMPLETING"):
            self._seen_running.pop(job, None)
            self._taken_for_dead.pop(job, None)
            return False
        runs = now - self._seen_running.setdefault(job, now)
        silent = records.silence(cells.place(info.job, "attempts", ".jsonl"))
        if silent is None:
            return False
        if self._node_timeout is None:
            self._node_timeout = slurm.node_timeout()
        # A job whose node is lost is Slurm's to start again, once it knows.
        lost = (NODE_TIMEOUT if self._node_timeout is None else self._node_timeout) + MARGIN
        patience = max(self.workflow.executor_settings.patience, lost)
        # Before its first sign a job is loading: it gets three times as long.
        if not (silent > patience if silent < runs else runs > 3 * patience):
            self._taken_for_dead.pop(job, None)
            return False
        # Where the file server was away its writers give a sign a moment after it is back.
        return now - self._taken_for_dead.setdefault(job, now) >= SECOND_LOOK

    def _can_never_start(self, info: SubmittedJobInfo, said: Said | None) -> str | None:
        """Note what a job waits for; return why it can't start and what to change, None for one that may."""
        job, now = str(info.external_jobid), time.monotonic()
        reason = said.reason if said is not None and said.word == "PENDING" else ""
        known, since = self._waits.get(job, (None, now))
        if reason != known:
            since = now
            if (file := cells.place(info.job, "jobs", ".json")) is not None:
                records.waits(file, None if reason == "None" else reason or None)
        self._waits[job] = (reason, since)
        advice = waiting.never(reason)
        if advice is not None and now - since >= self.workflow.executor_settings.patience:
            return f"{reason}: {advice}"
        if (
            now - since >= WORTH_A_WORD
            and not waiting.is_usual(reason)
            and (job, reason) not in self._spoken_of
        ):
            self._spoken_of.add((job, reason))
            self.logger.warning(
                f"Slurm's job {job} waits for more than its turn: {reason} (see scontrol show job {job})."
            )
        return None

    def _ended_badly(self, info: SubmittedJobInfo, said: Said | None) -> None:
        """Report a failure, or submit the job again if it is none."""
        job, log = str(info.external_jobid), str((info.aux or {}).get("slurm_logfile"))
        what = f"state {said.state}" + (f", {said.reason}" if said.reason else "") if said else "gone"
        if said and (advice := waiting.never(said.reason)):
            what += f": {advice}"
        file = cells.place(info.job, "jobs", ".json")
        short = was_memory(said, cells.text_of(log))
        late = said is not None and said.word == "TIMEOUT"
        ended = records.ends(cells.place(info.job, "attempts", ".jsonl"))
        reached = cells.reached(info.job)
        record = (records.read(file) if file else None) or {}
        progressed = records.has_progressed(record.get("begins"), reached)
        # An interruption counts once: a job that is cancelled before it begins ends with no new one.
        interrupted = records.goes_on(ended) and len(ended) > self._went_on.get(info.job, 0)
        if file is not None:
            records.ended(file, out_of_memory=short, out_of_time=late)
        if progressed or interrupted:
            self._went_on[info.job] = len(ended)
            how = f"further than it began, at {reached[1]}" if progressed else "as it was told to"
            self.logger.info(
                f"Slurm's job {job} ended {how} ({what}): job {info.job.jobid} is submitted again."
            )
            if short or late:
                # What it asks for is asked of its rule anew; not every rule gives more time.
                info.job.attempt = info.job.attempt
            self._try_again(info.job)
            return
        if records.is_unfit(cells.place(info.job, "attempts", ".jsonl"), job):
            # Looking again, for hours perhaps, would find the same.
            info.job.attempt = info.job.restart_times + 1
        self.report_job_error(info, msg=f"Slurm's job {job} ({what}) did not succeed.", aux_logs=[log])
