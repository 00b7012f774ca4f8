"""Why Slurm has not started a job yet, or has not taken it: what is usual, what never ends by itself."""

from __future__ import annotations

import re

USUAL = re.compile(r"None|Resources|Priority|BeginTime|Cleaning|Prolog|JobArrayTaskLimit|", re.IGNORECASE)
"""Reasons of a job whose turn has not come."""
_LARGE = "lower what the reason names in the grid's resources, or set another `qos` in the profile"
NEVER = {
    r"PartitionTimeLimit": "it asks for more minutes than its partition allows: lower `runtime` in the "
    "grid's resources, or set another `slurm_partition` in the profile",
    r"BadConstraints": "no node has what it asks for: see `constraint` in the profile, and `gpus`, `threads` "
    "and `mem_mb` in the grid's resources",
    r"InvalidAccount": "its account may not be used here: set `slurm_account` in the profile",
    r"InvalidQOS": "its quality of service may not be used here: set `qos` in the profile",
    r"(Assoc|QOS)M(ax|in)\w*PerJob(Limit)?|MaxMemPerLimit": f"no job as large is allowed: {_LARGE}",
    r"AccountNotAllowed|QOSNotAllowed": "its partition does not take this account or quality of service: set "
    "`slurm_partition`, `slurm_account` or `qos` in the profile",
    r"JobHeldAdmin|launch failed requeued held|job requeued in held state": "it is held for an administrator"
    ": see Slurm's log of the job, and of the node that it ran on",
    r"DependencyNeverSatisfied": "it waits for a job that has failed",
}
"""Reason -> what is to be changed before such a job can start.

Not ``PartitionNodeLimit``: Slurm gives it, too, while nodes that a job needs are down or drained.
"""

REFUSALS = {
    r"violates accounting/qos policy": "your account may not have as many jobs, or none as large: lower "
    "`jobs` in the profile, or set another `slurm_account` or `qos` there",
    r"time limit": "it asks for more minutes than its partition allows: set `longest` in the profile to the "
    "partition's MaxTime, or another `slurm_partition`",
    r"requested node configuration|memory specification|cpu count|processors requested": "no node has what "
    "it asks for: set `gpus_per_node` in the profile; for other processors or memory of a node add "
    "`set-threads: {train: 48}` or `set-resources: {train: {mem_mb: 200000}}` there",
    r"generic resource": "no node has the GPUs that it asks for: see `slurm_partition`, `constraint` and "
    "`gpus_per_node` in the profile",
    r"account|association": "set `slurm_account` in the profile to one of yours: sacctmgr show "
    "associations user=$USER",
    r"partition": "set `slurm_partition` in the profile to one of yours: sinfo --summarize",
    r"qos": "set `qos` in the profile to one of yours: sacctmgr show associations user=$USER",
    r"feature|constraint": "no node has what `constraint` in the profile asks for: sinfo --format='%N %f'",
}
"""Words of a refusal -> what is to be changed; the first that fits. What passes by itself is among them."""


def refused(said: str) -> str | None:
    """What is to be changed for a job that Slurm has refused; None where that is not known."""
    # Behind it stands what was to be submitted, which names all of this.
    answer = said.partition("sbatch call:")[0]
    if "sbatch: error" not in answer:
        return None
    return next((what for name, what in REFUSALS.items() if re.search(name, answer, re.IGNORECASE)), None)


def never(reason: str) -> str | None:
    """What is to be changed for a job that can't start as it is; None for one that may."""
    return next((advice for name, advice in NEVER.items() if re.fullmatch(name, reason)), None)


def is_usual(reason: str) -> bool:
    """Whether a job waits for nothing but its turn."""
    return USUAL.fullmatch(reason) is not None
