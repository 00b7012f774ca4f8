"""Snakemake executor ``slurm-cells-jobstep``: Snakemake's own within a Slurm job, behind a relay."""

import shlex
import sys
from dataclasses import dataclass

import snakemake_executor_plugin_slurm_jobstep as jobstep_plugin
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from snakemake_executor_plugin_slurm_cells_jobstep import relay

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

common_settings = jobstep_plugin.common_settings


@dataclass
class ExecutorSettings(jobstep_plugin.ExecutorSettings):
    """Those of Snakemake's own."""


class Executor(jobstep_plugin.Executor):
    """See the module."""

    def format_job_exec(self, job: JobExecutorInterface) -> str:
        """The command of the job's step: the relay is what Slurm starts, and starts the rest."""
        words = [sys.executable, "-S", "-E", relay.__file__, super().format_job_exec(job)]
        # A script's shell would stand between Slurm and the relay.
        instead = "exec " if self.workflow.executor_settings.pass_command_as_script else ""
        return instead + shlex.join(words)
