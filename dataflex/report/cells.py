"""Cells as the page shows them: grouped by experiment and method, each with all that its folder tells."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from dataflex.evidence import by_step, shares
from dataflex.evidence.results import BY_STEP, SHARES, CellResult, read_curve, read_lines
from dataflex.evidence.statistics.seeds import mean, of_mean
from dataflex.evidence.store.identity import short
from dataflex.report.curves import LINES, Line, drawing
from dataflex.report.quantities import number, plus_minus
from dataflex.report.rungs import Rung
from paper_figures.layout import EXPERIMENTS, METHODS, domain_label, label, ordered

PLAN_LOG = "plan_log.jsonl"
MOST_DECISIONS = 40
HEADLINES = {
    "model": (
        ("answer loss", "mmlu.answer_nll"),
        ("bits per byte", "bits_per_byte.all"),
        ("of the natural mixture", "bits_per_byte.natural"),
    ),
    "selection": (("precision", "precision"),),
    "mixture": (("target loss", "loss.target"),),
}
"""By what a cell is about: the numbers that its line shows, with their names in ``CellResult.numbers``."""


@dataclass(frozen=True)
class CellView:
    """One cell: see ``cells.html`` for where each part stands."""

    anchor: str
    id: str
    coordinates: Mapping[str, Any]
    numbers: tuple[tuple[str, str], ...]
    curve: Markup
    curve_words: str
    shares: Markup
    shares_words: str
    lines: tuple[Line, ...]
    accuracy: Markup
    accuracy_words: str
    wall: float | None
    tokens: int | None
    inputs: bool
    start: str
    decided: str
    decisions: tuple[str, ...] | None
    left_out: int
    manifest: str


@dataclass(frozen=True)
class Group:
    """The runs of one method at one model and scale, over their seeds."""

    title: str
    where: str
    headlines: tuple[tuple[str, str], ...]
    curves: Markup
    cells: tuple[CellView, ...]


@dataclass(frozen=True)
class Experiment:
    """All groups of an experiment."""

    name: str
    groups: tuple[Group, ...]
    size: int


def anchors(rungs: Sequence[Rung]) -> dict[str, str]:
    """The anchor of every result by its id; a result that is there twice has the one of the first."""
    return {name: f"result-{short(name)}" for rung in rungs for name in rung.ids}


def experiments(rung: Rung, taken: set[str]) -> list[Experiment]:
    """The rung's cells, in the order of the tables.

    ``taken`` holds the anchors that the page has already and gets those of this rung.
    """
    by_key: dict[str, dict[tuple[str, str, str], list[tuple[str, CellResult]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for name, result in zip(rung.ids, rung.results, strict=True):
        experiment, *key = result.key
        by_key[experiment][key[0], key[1], key[2]].append((name, result))
    found = []
    for experiment in ordered(by_key, EXPERIMENTS):
        groups = by_key[experiment]
        methods = ordered((key[0] for key in groups), METHODS)
        several = len({key[1:] for key in groups}) > 1
        keys = sorted(groups, key=lambda key: (key[1:], methods.index(key[0])))
        made = tuple(_group(key, groups[key], several, taken) for key in keys)
        found.append(Experiment(experiment, made, sum(len(group.cells) for group in made)))
    return found


def _group(
    key: tuple[str, str, str], runs: Sequence[tuple[str, CellResult]], several: bool, taken: set[str]
) -> Group:
    results = [result for _, result in runs]
    numbers = [result.numbers() for result in results]
    headlines = tuple(
        (name, _over_seeds([found[metric] for found in numbers]))
        for name, metric in HEADLINES[results[0].kind]
        if all(metric in found for found in numbers)
    )
    losses = [_losses(result) for result in results]
    return Group(
        label(key[0]),
        f"{key[1]}, {key[2]}" if several else "",
        headlines,
        drawing(losses, ""),
        tuple(_cell(name, result, taken) for name, result in runs),
    )


def _over_seeds(values: Sequence[float]) -> str:
    return plus_minus(mean(values), of_mean(values).interval())


def _losses(result: CellResult) -> list[tuple[float, float]]:
    return [(float(step), loss) for step, _, loss in read_curve(result.folder / "curve.csv")]


def _cell(name: str, result: CellResult, taken: set[str]) -> CellView:
    anchor = f"result-{short(name)}"
    while anchor in taken:
        anchor += "-again"
    taken.add(anchor)
    manifest = result.run.get("manifest", {})
    curve = read_curve(result.folder / "curve.csv")
    losses = _losses(result)
    curve_words = ""
    if losses:
        (first, start), (last, end) = losses[0], losses[-1]
        curve_words = f"{number(start)} at step {first:,.0f}, {number(end)} at step {last:,.0f}"
    mixed, shares_words, lines = _mixture(result)
    accuracy, accuracy_words = _accuracy(result)
    decisions, left_out = _decisions(result.folder / PLAN_LOG)
    begun = result.run.get("start")
    return CellView(
        anchor=anchor,
        id=name,
        coordinates=result.cell,
        numbers=tuple((metric, f"{value:.6g}") for metric, value in result.numbers().items()),
        curve=drawing([losses], f"Training loss: {curve_words}"),
        curve_words=curve_words,
        shares=mixed,
        shares_words=shares_words,
        lines=lines,
        accuracy=accuracy,
        accuracy_words=accuracy_words,
        wall=manifest.get("wall_seconds"),
        tokens=curve[-1][1] if curve else None,
        inputs=manifest.get("train_type") == "static",
        start=f"{begun['experiment']}/{begun['method']}, seed {begun['seed']}" if begun else "",
        decided=_decided(manifest.get("decisions") or {}),
        decisions=decisions,
        left_out=left_out,
        manifest=json.dumps(result.run, indent=2, ensure_ascii=False),
    )


def _mixture(result: CellResult) -> tuple[Markup, str, tuple[Line, ...]]:
    stretches = shares.read(result.folder / SHARES)
    if not stretches:
        return Markup(""), "", ()
    drawn = shares.trajectories(stretches)
    of = "loss weights" if shares.weighs(stretches) else "tokens asked for"
    curves = [list(zip(steps.tolist(), given.tolist(), strict=True)) for steps, given in drawn.values()]
    lines = tuple(
        Line(domain_label(name), place % LINES, float(given[0]), float(given[-1]))
        for place, (name, (_, given)) in enumerate(drawn.items())
    )
    return drawing(curves, "", low=0.0, shares=True), f"shares of the {of}, first to last", lines


def _accuracy(result: CellResult) -> tuple[Markup, str]:
    if BY_STEP not in result.files:
        return Markup(""), ""
    points = by_step.read(result.folder / BY_STEP)
    words = (
        f"{points[0].acc:.1%} at step {points[0].step:,}, {points[-1].acc:.1%} at step {points[-1].step:,}"
    )
    return drawing([[(float(point.step), point.acc) for point in points]], f"Accuracy: {words}"), words


def _decided(decisions: Mapping[str, Any]) -> str:
    """What the manifest says was decided, in one line; empty where nothing was."""
    found = []
    for kind, decision in decisions.items():
        words = f"{kind} by {decision.get('component')}"
        if first := decision.get("warmup_step"):
            words += f" after step {first:,}"
        if every := decision.get("update_step"):
            words += f", every {every:,} steps" if every > 1 else ", every step"
        if times := decision.get("update_times"):
            words += f", {times:,} times" if times > 1 else ", once"
        found.append(words)
    return "; ".join(found)


def _decisions(file: Path) -> tuple[tuple[str, ...] | None, int]:
    """The lines of a plan log, of a long one the first and the last, and how many were left out."""
    if not file.is_file():
        return None, 0
    lines = [json.dumps(line, ensure_ascii=False) for line in read_lines(file)]
    if len(lines) <= MOST_DECISIONS:
        return tuple(lines), 0
    half = MOST_DECISIONS // 2
    return (*lines[:half], *lines[-half:]), len(lines) - 2 * half
