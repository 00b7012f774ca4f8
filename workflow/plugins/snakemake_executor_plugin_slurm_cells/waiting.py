"""Why Slurm has not started a job yet: what is usual, and what never ends by itself."""

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


def never(reason: str) -> str | None:
    """What is to be changed for a job that can't start as it is; None for one that may."""
    return next((advice for name, advice in NEVER.items() if re.fullmatch(name, reason)), None)


def is_usual(reason: str) -> bool:
    """Whether a job waits for nothing but its turn."""
    return USUAL.fullmatch(reason) is not None
