"""The two parts of a preflight: cheap checks of one experiment at one scale, and a base model's score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dataflex import grid as grids
from dataflex.assets.lock import beside, read_lock
from dataflex.errors import UserError
from dataflex.preflight.code import checkout
from dataflex.preflight.holdings import as_locked, as_many, licence, readable, room
from dataflex.preflight.left import still_written
from dataflex.preflight.machine import disk, gpus, versions
from dataflex.preflight.models import named, with_weights
from dataflex.preflight.report import Finding, conclude
from dataflex.preflight.score import in_band, measure

BATCH = 8
"""Prompts that are scored side by side, unless the grid says otherwise."""


def _parts(
    grid: dict[str, Any], experiment: str | None, scale: str | None
) -> tuple[list[str], list[str], dict[str, grids.Asset]]:
    """Models, corpora and repositories of an experiment at a scale, or of the whole grid.

    Models are those that give a tokenizer, too.

    Raises:
        UserError: there is no such experiment or scale.
    """
    experiments = grid["experiments"]
    if experiment and experiment not in experiments:
        raise UserError(f"no experiment is called {experiment!r}; there are {', '.join(experiments)}")
    chosen = [experiment] if experiment else list(experiments)
    models = list(dict.fromkeys(name for one in chosen for name in grids.experiment_models(grid, one)))
    scales = [(name, spec["corpus"]) for one in chosen for name, spec in experiments[one]["scales"].items()]
    if scale and scale not in dict(scales):
        raise UserError(f"no scale is called {scale!r}; there are {', '.join(dict(scales))}")
    corpora = list(dict.fromkeys(corpus for name, corpus in scales if scale in (None, name)))
    tokenizers = [
        grid["corpora"][name]["tokenizer"] for name in corpora if "tokenizer" in grid["corpora"][name]
    ]
    models = list(dict.fromkeys([*models, *tokenizers]))
    taken = [asset for name in models for asset in grids.model_assets(grid, name)]
    taken += [asset for name in corpora for asset in grids.corpus_assets(grid, name)]
    return models, corpora, {asset.name: asset for asset in taken}


def check(
    file: Path,
    root: Path,
    output: Path,
    *,
    experiment: str | None = None,
    scale: str | None = None,
    own_files: tuple[str, ...] = (),
    constraints: Path = Path("constraints.txt"),
) -> list[Finding]:
    """Look at all but devices and scores; writes a report and, if nothing failed, the JSON file.

    Args:
        file: the grid.
        root: folder of the rung.
        output: the JSON file.
        experiment: look at this one alone.
        scale: look at this scale of it alone.
        own_files: corpora that are made from the user's files in place of a repository.
        constraints: versions that were tested together.

    Raises:
        UserError: something failed.
    """
    grid = grids.load(file)
    models, corpora, taken = _parts(grid, experiment, scale)
    for name in own_files:
        text = grids.corpus_parts(grid, name).get("text") if name in grid["corpora"] else None
        if text:
            taken.pop(text.name, None)
    locked = read_lock(beside(file))
    cache = root / "assets"
    # All that the workflow was asked for: parts that fit one by one may not fit together.
    targets = grids.targets_of(grids.read_note(root))
    runs = still_written(grid, root, targets["trained"] if targets else None)
    findings = [disk(root, room(grid, corpora, taken.values(), root, locked) | {"runs": runs})]
    asked = max(
        (_gpus(grid, one) for one in ([experiment] if experiment else grid["experiments"])), default=0
    )
    reason = "looked at by a job on a node of theirs" if asked else "the grid's jobs ask for none"
    findings.append(Finding("GPUs", "skipped", reason))
    findings += [checkout(), versions(constraints)]
    for asset in taken.values():
        findings += [licence(asset, cache, locked), as_locked(asset, cache, locked)]
    weights = with_weights(grid, [experiment] if experiment else list(grid["experiments"]), scale)
    for name in models:
        if place := grid["models"][name].get("name_or_path"):
            findings.append(named(name, place, weights=name in weights))
    for name in corpora:
        # A drawn corpus is one a seed; those are made in moments and read by their own jobs.
        if grid["corpora"][name]["source"] not in grids.DRAWN:
            folder = Path(grids.corpus_dir(grid, str(root), name))
            findings.append(readable(name, folder))
            rows = grids.corpus_spec(grid, name).get("expected", {}).get("rows")
            if rows and findings[-1].state == "passed":
                findings.append(as_many(name, folder, rows))
    title = ".".join(part for part in (experiment or str(grid["rung"]), scale) if part)
    conclude(title, findings, output)
    return findings


def _gpus(grid: dict[str, Any], experiment: str) -> int:
    """Most GPUs a node that a job of an experiment asks for."""
    cells = grids.cells(grid, experiments=[experiment])
    return max(grids.resources(grid, cell, job)["gpus"] for cell in cells for job in ("train", "evaluate"))


def score(file: Path, root: Path, model: str, output: Path, *, seed: int = 0) -> Finding:
    """Measure a base model; writes a report and, if it lies in its band, the JSON file.

    Args:
        file: the grid.
        root: folder of the rung.
        model: a model under ``preflight.scores`` of the grid.
        output: the JSON file.
        seed: of the subset of questions.

    Raises:
        UserError: the grid expects no score of it, GPUs are missing, or the score is out of its band.
    """
    grid = grids.load(file)
    preflight = grid.get("preflight", {})
    spec = preflight.get("scores", {}).get(model)
    if spec is None:
        raise UserError(f"{file} expects no score of {model!r}: give it a band under preflight.scores")
    seen = gpus(preflight.get("resources", {}).get("gpus", 0))
    if seen.state == "failed":
        conclude(model, [seen], output)
    found = measure(
        Path(grids.model_path(grid, str(root), model)),
        Path(grids.corpus_dir(grid, str(root), spec["corpus"])),
        count=spec.get("questions"),
        shots=spec.get("shots", 0),
        batch_size=spec.get("batch-size", BATCH),
        seed=seed,
    )
    finding = in_band(model, found, spec)
    conclude(model, [seen, finding], output, {"model": model, "band": spec["band"], "mmlu": found})
    return finding
