"""The executor on a bench: Snakemake's side of it, as far as it looks there, and its checks one at a time."""

import asyncio
import os
import time
from concurrent.futures import wait
from pathlib import Path
from types import SimpleNamespace

import snakemake_executor_plugin_slurm_cells as plugin
from snakemake.iocontainers import ResourceList
from snakemake_executor_plugin_slurm_cells import records


class Words(dict):
    __getattr__ = dict.__getitem__


class Job:
    """Snakemake's side of a job, as far as an executor looks at it."""

    def __init__(self, cell="less.seed1", rule="train", **params):
        self.name, self.jobid, self.threads, self.asked_anew = rule, 7, 1, 0
        self.restart_times, self._attempt = 3, 1
        self.rule, self.rules, self.wildcards = SimpleNamespace(name=rule), [rule], ["selection", cell]
        self.is_updated = False
        self.config, self.made = Path(f"configs/{cell}.yaml"), Path(f"train/{cell}.done.json")
        self.input, self.output, self.log = [self.config], [self.made], [f"logs/{rule}/{cell}.log"]
        self.params = Words(params or {"steps": 10})
        self.asks()
        self.errors = []
        for file in (self.config, self.made):
            file.parent.mkdir(parents=True, exist_ok=True)
        if not self.config.exists():
            self.config.write_text("learning_rate: 1\n")

    def asks(self, **other):
        """Have the resources that all jobs have here, but for some; in Snakemake's own list, which is no dict."""
        wanted = {"slurm_partition": "gpu", "runtime": 60, "mem_mb": 1000, "slurm_extra": ""}
        self.resources = ResourceList(fromdict=wanted | other)

    @property
    def attempt(self):
        return self._attempt

    @attempt.setter
    def attempt(self, number):
        self.asked_anew += 1  # as Snakemake has the resources computed
        self._attempt = number

    @property
    def is_given_up(self):
        """Whether Snakemake will not start it again once it has failed."""
        return self.attempt > self.restart_times

    @property
    def record(self):
        return records.read(Path(self.log[0].replace("logs", "jobs")).with_suffix(".json"))

    @property
    def attempts(self):
        file = Path(self.log[0].replace("logs", "attempts")).with_suffix(".jsonl")
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    def is_group(self):
        return False

    def get_target_spec(self):
        return []

    def get_wait_for_files(self):
        return []

    def register(self, external_jobid):
        pass

    def log_info(self):
        pass

    def log_error(self, msg, aux_logs=None, **more):
        self.errors.append(msg)


class Workflow:
    """Snakemake's side of a workflow: what it is told of jobs."""

    def __init__(self, **settings):
        self.executor_settings = plugin.ExecutorSettings(
            no_account=True, patience=100, seconds_between_checks=1, requeue=True, **settings
        )
        self.executor_plugin = SimpleNamespace(
            common_settings=SimpleNamespace(
                init_seconds_before_status_checks=0, pass_envvar_declarations_to_cmd=False
            )
        )
        self.remote_execution_settings = SimpleNamespace(
            max_status_checks_per_second=1000,
            seconds_between_status_checks=1,
            jobname="{jobid}",
            jobscript=None,
            immediate_submit=False,
        )
        self.storage_settings = SimpleNamespace(shared_fs_usage=[])
        self.resource_settings = SimpleNamespace(cores=None)
        self.spawned_job_args_factory = SimpleNamespace(
            general_args=lambda **_: "", precommand=lambda **_: "", envvars=lambda: {}
        )
        self.group_settings = SimpleNamespace(local_groupid="local")
        self.dag = SimpleNamespace(get_unneeded_temp_files=lambda job: [])
        self.main_snakefile, self.workdir_init = "Snakefile", os.getcwd()
        self.persistence = SimpleNamespace(path=Path(".snakemake"))
        self.scheduler = self
        self.submitted, self.finished, self.failed = [], [], []
        self.submit_callback, self.finish_callback = self.submitted.append, self.finished.append
        self.error_callback = self.failed.append


class Run(plugin.Executor):
    """The executor, whose checks are made when a test asks for one."""

    async def _wait_for_jobs(self):
        pass

    def submit(self, job):
        """Submit a job, with all tries that come at once."""
        wait([self._job_submission_executor.submit(self.run_job, job)])
        return self

    def check(self):
        """Ask Slurm once."""

        async def once():
            jobs, self.active_jobs = self.active_jobs, []
            self.active_jobs += [info async for info in self.check_active_jobs(jobs)]

        asyncio.run(once())
        return self

    @property
    def numbers(self):
        return [info.external_jobid for info in self.active_jobs]


def until(true, seconds=20):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def later(run, monkeypatch, seconds):
    """Check again when some time has passed."""
    real, wall = time.monotonic, time.time
    with monkeypatch.context() as shifted:
        shifted.setattr(time, "monotonic", lambda: real() + seconds)
        shifted.setattr(time, "time", lambda: wall() + seconds)
        run.check()
