"""The jobs before a training: what is taken from the hub, what is made from it, and the preflight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dataflex.grid import (
    ANYWHERE,
    DRAWN,
    LAID_OUT,
    Cell,
    Site,
    corpus_parts,
    corpus_spec,
    experiment_models,
    model_assets,
    releases,
    trainings,
)

CORPUS_MINUTES = 240
MODEL_MINUTES = 60
DEVICE_MINUTES = 15
SCORE = {"threads": 1, "gpus": 0, "runtime": 60}
"""What the workflow asks for these jobs where the grid says nothing."""


@dataclass(frozen=True)
class Job:
    """One job."""

    name: str
    kind: str
    """The workflow's rule."""
    needs: tuple[str, ...] = ()
    devices: int = 0
    """GPUs over all nodes; of a grid without GPUs, processors. 0: ordinary processors alone."""
    nodes: int = 1
    cell: Cell | None = None
    limit_hours: float | None = None
    """Time that the grid asks the cluster for; a longer job is ended."""
    hours: float = 0.0
    estimated: bool = True
    """Whether ``hours`` says anything: False where no rate is known."""

    @property
    def device_hours(self) -> float:
        """Hours times devices."""
        return self.hours * self.devices


class Supply:
    """Adds the jobs that something needs, each once and after those that it needs itself.

    Args:
        grid: see ``dataflex.grid.load``.
        found: jobs by name, to which they are added.
        gpus: whether devices are GPUs.
        site: the cluster that they run on.
    """

    def __init__(
        self, grid: Mapping[str, Any], found: dict[str, Job], gpus: bool, site: Site = ANYWHERE
    ) -> None:
        self._grid, self._found, self._gpus, self._site = grid, found, gpus, site

    def corpus(self, name: str) -> str:
        """Add the job that makes a corpus; its name."""
        job = f"corpus {name}"
        if job not in self._found:
            spec = corpus_spec(self._grid, name)
            waits: list[str] = []
            if spec["source"] in LAID_OUT:
                waits += [self._taken(asset.name) for asset in corpus_parts(self._grid, name).values()]
            if spec["source"] in DRAWN and "corpus" in spec:
                waits.append(self.corpus(spec["corpus"]))
            if "tokenizer" in spec:
                waits += self.model(spec["tokenizer"])
            minutes = spec.get("resources", {}).get("runtime", CORPUS_MINUTES)
            limit = self._limit(minutes)
            self._add(Job(job, "corpus", tuple(dict.fromkeys(waits)), limit_hours=limit))
        return job

    def model(self, name: str) -> list[str]:
        """Add what makes or takes a model; names of the jobs, none for one that is named by its path."""
        build = self._grid["models"][name].get("build")
        if build is None:
            return [self._taken(asset.name) for asset in model_assets(self._grid, name)]
        job = f"model {name}"
        if job not in self._found:
            waits = (self.corpus(build["corpus"]),) if "corpus" in build else ()
            self._add(Job(job, "model", waits, limit_hours=self._limit(MODEL_MINUTES)))
        return [job]

    def release(self, cell: Cell) -> list[str]:
        """Add the preflight that releases a cell's training; names of its jobs."""
        found = []
        for rule, name in releases(self._grid, cell):
            if rule == "preflight_checks":
                found.append(self._checks(cell))
            elif rule == "preflight_devices":
                found.append(self._devices(cell))
            else:
                found.append(self._score(name, self._grid["preflight"]))
        return found

    def _devices(self, cell: Cell) -> str:
        job = f"preflight_devices {cell.experiment}.{cell.scale}"
        gpus = trainings(self._grid, cell.experiment, cell.scale, self._site)["gpus"]
        self._add(Job(job, "preflight_devices", (), gpus, limit_hours=self._limit(DEVICE_MINUTES)))
        return job

    def _checks(self, cell: Cell) -> str:
        models = experiment_models(self._grid, cell.experiment)
        job = f"preflight_checks {cell.experiment}.{cell.scale}"
        if job not in self._found:
            waits = [need for name in models for need in self.model(name)]
            corpus = self._grid["experiments"][cell.experiment]["scales"][cell.scale]["corpus"]
            if self._grid["corpora"][corpus]["source"] not in DRAWN:
                waits.append(self.corpus(corpus))
            self._add(Job(job, "preflight_checks", tuple(dict.fromkeys(waits))))
        return job

    def _score(self, model: str, preflight: Mapping[str, Any]) -> str:
        job = f"preflight_score {model}"
        if job not in self._found:
            asked = {**SCORE, **preflight.get("resources", {})}
            waits = [*self.model(model), self.corpus(preflight["scores"][model]["corpus"])]
            devices = asked["gpus"] if self._gpus else asked["threads"]
            limit = self._limit(asked["runtime"])
            self._add(Job(job, "preflight_score", tuple(waits), devices, limit_hours=limit))
        return job

    def _limit(self, minutes: int) -> float:
        """Hours that a job is given at most."""
        return self._site.minutes(minutes) / 60

    def _taken(self, asset: str) -> str:
        self._add(Job(f"asset {asset}", "asset"))
        return f"asset {asset}"

    def _add(self, job: Job) -> None:
        self._found.setdefault(job.name, job)
