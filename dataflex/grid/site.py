"""What a cluster gives a job: the grid says how many GPUs train together, the cluster how many a node has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dataflex.errors import UserError

PROFILE = Path("workflow/profiles/slurm/config.yaml")
"""What `snakemake --profile slurm` reads."""


@dataclass(frozen=True)
class Site:
    """A cluster, as far as jobs differ by it.

    Attributes:
        gpus_per_node: None where every job finds the node that the grid asks for.
        longest: minutes that a job may ask for; a training goes on in further jobs. None: as the grid asks.
        cpu_nodes: whether jobs without GPUs have nodes of their own.
    """

    gpus_per_node: int | None = None
    longest: int | None = None
    cpu_nodes: bool = True

    def fits(self, gpus: int) -> bool:
        """Whether a node has so many GPUs."""
        return self.gpus_per_node is None or gpus <= self.gpus_per_node

    def alone(self, gpus: int) -> int:
        """GPUs that nobody else can use while a job that wants so many has a node for itself."""
        on_gpu_node = gpus or not self.cpu_nodes
        return (self.gpus_per_node or gpus) if on_gpu_node else 0

    def minutes(self, asked: int) -> int:
        """Time limit of a job that asks for so many."""
        return asked if self.longest is None else min(asked, self.longest)

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
        found["runtime"] = self.minutes(found["runtime"])
        return found


ANYWHERE = Site()
"""A cluster that gives what the grid asks for."""


def site_of(resources: Mapping[str, Any]) -> Site:
    """The cluster as default resources of a profile describe it.

    Raises:
        UserError: a number is none.
    """

    def whole(key: str) -> int | None:
        value = resources.get(key)
        if value in (None, ""):
            return None
        if not str(value).isdigit() or not int(str(value)):
            raise UserError(
                f"default-resources: {key} is {value!r}: write a whole number, or remove the line"
            )
        return int(str(value))

    return Site(whole("gpus_per_node"), whole("longest"), cpu_nodes=bool(resources.get("cpu_partition")))


def read_site(profile: Path) -> Site:
    """The cluster as a profile of Snakemake's describes it.

    Args:
        profile: its file, or its folder.

    Raises:
        UserError: the file can't be read as one, or a number in it is none.
    """
    file = profile / "config.yaml" if profile.is_dir() else profile
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{file} can't be read as a profile: {error}") from None
    found = content.get("default-resources") or {} if isinstance(content, dict) else None
    if isinstance(found, list):
        found = dict(str(line).partition("=")[::2] for line in found)
    if not isinstance(found, dict):
        raise UserError(f"{file} is no profile: default-resources has to be a mapping")
    try:
        return site_of(found)
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
