"""What a profile can set of the executor, beside what Snakemake's own Slurm executor lets it set."""

from dataclasses import dataclass, field

import snakemake_executor_plugin_slurm as slurm_plugin


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
