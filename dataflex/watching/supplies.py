"""The jobs before the trainings: what is taken, made and checked, what each waits for, what it is doing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from dataflex import grid as grids
from dataflex.watching.attempts import STALE
from dataflex.watching.jobs import JobFiles
from dataflex.watching.tails import complaint, last_words, modified

SupplyWord = Literal["waiting", "ready", "queued", "running", "interrupted", "lost", "failed", "done"]
SUPPLY_WORDS: tuple[SupplyWord, ...] = get_args(SupplyWord)
UNHELD = ("preflight_checks",)
"""Rules of seconds, which have a log and no record of their attempts."""
Needs = tuple[tuple[str, Path], ...]


@dataclass(frozen=True)
class Supply:
    """One job.

    Attributes:
        rule: the workflow's.
        name: of what it takes, makes or checks.
        sentinel: what it leaves when it has succeeded.
        needs: names and sentinels of what has to be there before it.
    """

    rule: str
    name: str
    sentinel: Path
    needs: Needs = ()


@dataclass(frozen=True)
class SupplyState:
    """What such a job is doing.

    Attributes:
        supply: the job.
        state: see ``SUPPLY_WORDS``; one that is ready waits for its turn alone.
        reason: why it is in this state, where that is not plain.
        log: the one that exists, its own rather than Slurm's.
    """

    supply: Supply
    state: SupplyWord
    reason: str | None = None
    log: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON types."""
        log = str(self.log) if self.log else None
        told = {"state": self.state, "reason": self.reason, "log": log}
        waits = [name for name, file in self.supply.needs if not file.is_file()]
        return {"rule": self.supply.rule, "name": self.supply.name, **told, "waits_for": waits}


def release_needs(grid: Mapping[str, Any], root: Path, cell: grids.Cell) -> Needs:
    """The preflight that releases a cell's training."""
    return tuple(
        (f"{rule} {name}", Path(grids.release_file(str(root), rule, name)))
        for rule, name in grids.releases(grid, cell)
    )


def model_needs(grid: Mapping[str, Any], root: Path, models: Iterable[str]) -> Needs:
    """Some models: by their own names if they are made here, by their repositories if they are taken."""
    found: dict[str, Path] = {}
    for model in models:
        if "build" in grid["models"][model]:
            found[model] = root / "models" / f"{model}.ready.json"
        for asset in grids.model_assets(grid, model):
            found[asset.name] = Path(grids.asset_ready(str(root), asset))
    return tuple(found.items())


def corpus_need(root: Path, name: str) -> tuple[str, Path]:
    """A corpus."""
    return name, root / f"{name}.ready.json"


def supplies(
    grid: Mapping[str, Any], root: Path, cells: Iterable[grids.Cell], own: Collection[str] = ()
) -> tuple[Supply, ...]:
    """Return the jobs that some cells wait for, each once: assets, corpora, models, the preflight.

    Args:
        grid: see ``dataflex.grid.load``.
        root: the rung's folder.
        cells: with those that they build on.
        own: corpora that are made from the user's files in place of a repository.
    """
    return _Finder(grid, root, own).of(cells)


class _Finder:
    def __init__(self, grid: Mapping[str, Any], root: Path, own: Collection[str]) -> None:
        self._grid, self._root, self._own = grid, root, own
        self._found: dict[Path, Supply] = {}

    def of(self, cells: Iterable[grids.Cell]) -> tuple[Supply, ...]:
        for cell in cells:
            self._corpus(grids.corpus_name(self._grid, cell))
            for model in grids.models_of(self._grid, cell):
                self._model(model)
            for rule, name in grids.releases(self._grid, cell):
                self._release(cell, rule, name)
        order = ("asset", "corpus", "model", *grids.RELEASES)
        return tuple(sorted(self._found.values(), key=lambda one: order.index(one.rule)))

    def _add(self, rule: str, name: str, sentinel: Path, needs: Needs = ()) -> None:
        self._found.setdefault(sentinel, Supply(rule, name, sentinel, needs))

    def _assets(self, assets: Iterable[grids.Asset]) -> Needs:
        needs = tuple((asset.name, Path(grids.asset_ready(str(self._root), asset))) for asset in assets)
        for name, sentinel in needs:
            self._add("asset", name, sentinel)
        return needs

    def _corpus(self, name: str) -> tuple[str, Path]:
        spec = grids.corpus_spec(self._grid, name)
        parts = grids.corpus_parts(self._grid, name) if spec["source"] in grids.LAID_OUT else {}
        needs = self._assets(part for kind, part in parts.items() if kind != "text" or name not in self._own)
        if "tokenizer" in spec:
            needs += self._model(spec["tokenizer"])
        if spec["source"] in grids.DRAWN and "corpus" in spec:
            needs += (self._corpus(spec["corpus"]),)
        found = corpus_need(self._root, name)
        self._add("corpus", *found, needs)
        return found

    def _model(self, name: str) -> Needs:
        self._assets(grids.model_assets(self._grid, name))
        needs = model_needs(self._grid, self._root, [name])
        if (build := self._grid["models"][name].get("build")) is not None:
            below = (self._corpus(build["corpus"]),) if "corpus" in build else ()
            self._add("model", *needs[0], below)
        return needs

    def _release(self, cell: grids.Cell, rule: str, name: str) -> None:
        needs: Needs = ()
        if rule == "preflight_checks":
            for model in grids.experiment_models(self._grid, cell.experiment):
                needs += self._model(model)
            corpus = grids.experiment_spec(self._grid, cell)["scales"][cell.scale]["corpus"]
            if self._grid["corpora"][corpus]["source"] not in grids.DRAWN:
                needs += (self._corpus(corpus),)
        elif rule == "preflight_score":
            scored = self._grid["preflight"]["scores"][name]
            needs = (*self._model(name), self._corpus(scored["corpus"]))
        sentinel = Path(grids.release_file(str(self._root), rule, name))
        self._add(rule, name, sentinel, tuple(dict.fromkeys(needs)))


def supply_state(root: Path, supply: Supply, now: float) -> SupplyState:
    """Find out what such a job is doing.

    Args:
        root: the rung's folder.
        supply: the job.
        now: Unix time.
    """
    job = JobFiles(root, supply.rule, supply.name, now)
    log = next((file for file in job.logs if file.is_file()), None)
    if supply.sentinel.is_file():
        return SupplyState(supply, "done", log=log)
    if job.lock is not None and job.lock.alive:
        return SupplyState(supply, "running", log=log)
    missing = any(not file.is_file() for _, file in supply.needs)
    state: SupplyWord
    state, reason = job.came_to() or ("waiting" if missing else "ready", None)
    said = complaint(log) if log is not None else None
    # What the command says is wrong, rather than how it ended.
    if state == "failed" and said and not said.endswith(str(job.attempts[-1].reason)):
        reason = said
    if supply.rule in UNHELD and log is not None and not missing:
        state, reason = _by_its_log(log, now)
    return SupplyState(supply, state, reason, log)


def _by_its_log(log: Path, now: float) -> tuple[SupplyWord, str | None]:
    """What a job that leaves nothing but its log is doing."""
    if wrong := complaint(log):
        return "failed", wrong
    if now - (modified(log) or 0.0) <= STALE:
        return "running", None
    return "failed", f"it has ended without what it was to leave: {last_words(log) or 'its log is empty'}"
