"""Snakemake executor ``slurm-cells-jobstep``: Snakemake's own within a Slurm job, behind a relay."""

import shlex
import sys
from dataclasses import dataclass
from typing import Any

import snakemake_executor_plugin_slurm_jobstep as jobstep_plugin
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from snakemake_interface_executor_plugins.settings import ExecMode

from snakemake_executor_plugin_slurm_cells_jobstep import relay

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

common_settings = jobstep_plugin.common_settings


@dataclass
class ExecutorSettings(jobstep_plugin.ExecutorSettings):
    """Those of Snakemake's own."""


class Executor(jobstep_plugin.Executor):
    """See the module."""

    def report_job_success(self, job_info: SubmittedJobInfo) -> None:
        """Report it, and keep what its outputs were made by: the workflow that submitted it may be gone.

        Without that a setting that is changed later would make nothing again.
        """
        try:
            keep(self.workflow, job_info.job)
        except Exception as error:
            # What was made is made; the workflow keeps the same if it is there.
            self.logger.warning(f"what the outputs were made by is not kept: {error}")
        super().report_job_success(job_info)

    def format_job_exec(self, job: JobExecutorInterface) -> str:
        """The command of the job's step: the relay is what Slurm starts, and starts the rest."""
        words = [sys.executable, "-S", "-E", relay.__file__, super().format_job_exec(job)]
        # A script's shell would stand between Slurm and the relay.
        instead = "exec " if self.workflow.executor_settings.pass_command_as_script else ""
        return instead + shlex.join(words)


def keep(workflow: Any, job: JobExecutorInterface) -> None:
    """Write Snakemake's own record of a job's outputs, as else only the process does that submits jobs."""
    settings = workflow.workflow_settings
    own = settings.exec_mode
    settings.exec_mode = ExecMode.DEFAULT
    try:
        workflow.async_run(workflow.persistence.finished(job))
    finally:
        settings.exec_mode = own
