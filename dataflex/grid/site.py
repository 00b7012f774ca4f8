"""What a cluster gives a job: the grid says how many GPUs train together, the cluster how many a node has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Site:
    """A cluster, as far as jobs differ by it.

    Attributes:
        gpus_per_node: None where every job finds the node that the grid asks for.
        longest: minutes that a job may ask for; a training goes on in further jobs. None: as the grid asks.
    """

    gpus_per_node: int | None = None
    longest: int | None = None

    def fitted(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Resources of a job as this cluster can give them.

        Where a node has fewer GPUs than a job wants of one, the job has more nodes, so that as many processes
        as the grid says train together; each node gives as much less threads and memory.
        """
        found = dict(asked)
        wanted, most = found.get("gpus", 0), self.gpus_per_node
        if most is not None and wanted > most:
            total = wanted * found["nodes"]
            gpus = max(number for number in range(1, most + 1) if total % number == 0)
            found |= {
                "gpus": gpus,
                "nodes": total // gpus,
                "threads": math.ceil(found["threads"] * gpus / wanted),
                "mem_mb": math.ceil(found["mem_mb"] * gpus / wanted),
            }
        if self.longest is not None:
            found["runtime"] = min(found["runtime"], self.longest)
        return found


ANYWHERE = Site()
"""A cluster that gives what the grid asks for."""
