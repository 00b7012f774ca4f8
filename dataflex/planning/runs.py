"""Every training run of a grid, or of a part of it, with what it computes, holds and writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataflex.config import split
from dataflex.errors import UserError
from dataflex.grid import (
    ANYWHERE,
    Cell,
    Site,
    cells,
    corpus_name,
    is_path,
    model_path,
    model_ready,
    models_of,
    needed,
    part_of,
    render,
    reported,
    resources,
    run_dir,
    steps_to_evaluate,
)
from dataflex.planning.architecture import Architecture, of_model
from dataflex.planning.calibration import Device
from dataflex.planning.comparisons import Comparison, comparisons
from dataflex.planning.corpora import Corpus, read_corpus
from dataflex.planning.disk import model_download, run_bytes, token_bytes
from dataflex.planning.downloads import corpus_downloads, model_of_benchmarks
from dataflex.planning.jobs import OF_STEPS, jobs_of, uses_gpus, with_hours, with_needed
from dataflex.planning.looks import evaluation, score
from dataflex.planning.memory import Memory, memory_of
from dataflex.planning.shares import DomainTokens, domain_tokens
from dataflex.planning.supply import Job
from dataflex.planning.work import Work, cutoff, is_packed, work_of

HOUR = 3600.0


@dataclass(frozen=True)
class Part:
    """The part of a grid that is planned; None: all of it."""

    seeds: Sequence[int] | None = None
    experiments: Sequence[str] | None = None
    methods: Sequence[str] | None = None
    targets: Sequence[str] = ()
    """The workflow's names of what is left of these, see ``dataflex.grid.part_of``; none: all of it."""


@dataclass(frozen=True)
class Run:
    """What is known of one training run."""

    cell: Cell
    config: Mapping[str, Any]
    model: Architecture
    corpus: Corpus
    work: Work
    memory: Memory
    domains: Sequence[DomainTokens]
    decided: str
    disk_bytes: int


class Runs:
    """A grid, or a part of one, with what each of its runs computes."""

    def __init__(self, grid: Mapping[str, Any], part: Part, root: str, site: Site = ANYWHERE) -> None:
        self.grid, self.part, self.root, self.site = grid, part, root, site
        self.targets = tuple(dict.fromkeys(part.targets))
        self.asked = cells(grid, part.seeds, part.experiments, part.methods)
        # Benchmarks go without saying only with all of the grid.
        self.with_benchmarks = not (part.experiments or part.methods)
        if self.targets:
            self.asked, self.with_benchmarks = part_of(grid, self.asked, self.targets)
        self.every = with_needed(grid, self.asked)
        self.on_gpus = uses_gpus(grid, self.every)
        self.corpora: dict[str, Corpus] = {}
        self.runs = {cell.path: self._plan(cell) for cell in self.every}
        if self.with_benchmarks and "less" in grid.get("efficiency", {}):
            self.corpus(grid["efficiency"]["less"]["corpus"])

    def corpus(self, name: str) -> Corpus:
        """What is known of a corpus."""
        if name not in self.corpora:
            self.corpora[name] = read_corpus(self.grid, self.root, name)
        return self.corpora[name]

    def ranks(self, cell: Cell) -> int:
        """Processes that train a cell."""
        asked = resources(self.grid, cell, "train")
        return asked["gpus"] * asked["nodes"] if self.on_gpus else 1

    def architecture(self, model: str) -> Architecture:
        """Sizes of a model of the grid.

        Raises:
            UserError: the grid does not say them.
        """
        found = of_model(self.grid["models"][model])
        if found is None:
            raise UserError(
                f"models.{model}: say its architecture, from its config.json, so that it can be planned"
            )
        return found

    def _plan(self, cell: Cell) -> Run:
        corpus, model = self.corpus(corpus_name(self.grid, cell)), self.architecture(cell.model)
        config = render(self.grid, cell, self.root, corpus.weights)
        ranks = self.ranks(cell)
        places = {run_dir(self.root, other): other.model for other in needed(self.grid, cell).values()}

        def find(name: str) -> Architecture | None:
            if name in places:
                return self.architecture(places[name])
            for key, entry in self.grid["models"].items():
                if name == model_path(self.grid, self.root, key):
                    return of_model(entry)
            return None

        try:
            work = work_of(config, model, corpus, ranks, find)
        except UserError as error:
            raise UserError(f"{cell.path}: {error}") from None
        domains, decided = self._domains(config, corpus, work)
        memory = memory_of(config, model, corpus, ranks, find)
        disk = run_bytes(config, model, work.steps)
        return Run(cell, config, model, corpus, work, memory, domains, decided, disk)

    def _domains(
        self, config: Mapping[str, Any], corpus: Corpus, work: Work
    ) -> tuple[list[DomainTokens], str]:
        if is_packed(config):
            own, _ = split(dict(config))
            return domain_tokens(own, corpus, work.tokens, work.steps, work.batch_rows, cutoff(config))
        epochs = round(work.steps * work.batch_rows / corpus.rows, 3) if corpus.rows else None
        name = str(config.get("dataset"))
        return [DomainTokens(name, work.tokens, epochs)], "rows as chosen, of the mean length"

    def jobs(self, device: Device) -> list[Job]:
        """The jobs with their hours on a device."""
        seconds: dict[str, float] = {}
        for path, one in self.runs.items():
            seconds[f"train {path}"] = device.seconds(one.work, self.ranks(one.cell))
            if reported(self.grid, one.cell):
                asked = resources(self.grid, one.cell, "evaluate")
                processes = max(asked["gpus"] * asked["nodes"], 1)
                sizes = (one.model, one.corpus, cutoff(one.config))
                for kind in ("evaluate", "measure"):
                    seconds[f"{kind} {path}"] = device.seconds(evaluation(*sizes), processes)
                questions = device.seconds(evaluation(*sizes, documents=False), processes)
                steps = steps_to_evaluate(self.grid, one.cell)
                seconds[f"{OF_STEPS} {path}"] = questions * len(steps)
        jobs = jobs_of(
            self.grid,
            self.asked,
            with_benchmarks=self.with_benchmarks,
            targets=self.targets,
            site=self.site,
        )
        for job in jobs:
            if job.kind == "preflight_score" and (work := self._score(job.name.partition(" ")[2])):
                seconds[job.name] = device.seconds(work, max(job.devices if self.on_gpus else 1, 1))
        return with_hours(jobs, {name: value / HOUR for name, value in seconds.items()})

    def _score(self, model: str) -> Work | None:
        """What the preflight's score of a base model computes, if enough is known of it."""
        asked, sizes = self.grid["preflight"]["scores"][model], of_model(self.grid["models"][model])
        corpus = read_corpus(self.grid, self.root, asked["corpus"])
        return score(sizes, corpus, asked) if sizes else None

    def comparisons(self) -> list[Comparison]:
        """The comparisons of the cells asked for."""
        questions = {path: one.corpus.questions for path, one in self.runs.items()}
        return comparisons(self.grid, self.asked, questions)

    def disk(self) -> dict[str, int]:
        """Bytes that are written, by kind."""
        runs = sum(one.disk_bytes for one in self.runs.values())
        corpora = 0
        for name, corpus in self.corpora.items():
            users = [one for one in self.runs.values() if corpus_name(self.grid, one.cell) == name]
            vocabulary = max((one.model.vocab_size for one in users), default=0)
            corpora += token_bytes(corpus.tokens or 0, vocabulary)
        corpora += sum(corpus_downloads(self.grid, self.corpora).values())
        return {"runs": runs, "corpora": corpora, "models": sum(self.model_downloads().values())}

    def model_downloads(self) -> dict[str, int]:
        """Bytes that are downloaded, by model; not what is built here, was taken or is in a folder."""
        wanted = [
            (name, name == one.cell.model and bool(one.config.get("train_from_scratch")))
            for one in self.runs.values()
            for name in models_of(self.grid, one.cell)
        ]
        if self.with_benchmarks and (name := model_of_benchmarks(self.grid)):
            wanted.append((name, False))
        found: dict[str, int] = {}
        for name, scratch in wanted:
            entry = self.grid["models"][name]
            if "build" in entry or self._is_here(name):
                continue
            place = entry["hub"]["repo"] if "hub" in entry else str(entry["name_or_path"])
            size = model_download(of_model(entry), from_scratch=scratch)
            found[place] = max(found.get(place, 0), size)
        return found

    def _is_here(self, model: str) -> bool:
        """Whether nothing is to be downloaded of a model that is not built."""
        if "hub" in self.grid["models"][model]:
            return all(Path(file).is_file() for file in model_ready(self.grid, self.root, model))
        named = model_path(self.grid, self.root, model)
        return is_path(named) or Path(named).exists()

    def downloads(self) -> dict[str, int]:
        """Bytes that are downloaded, by model and corpus; what is there counts nothing."""
        return {**self.model_downloads(), **corpus_downloads(self.grid, self.corpora)}
