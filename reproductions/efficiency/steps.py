"""Optimizer steps of mixers and weighters beside those of LLaMA-Factory's own trainer, in lockstep."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from rich.progress import track

from efficiency import step_workload
from efficiency.lockstep import Plan, lockstep
from efficiency.sides import Report, console, library, upstream
from efficiency.step_variants import common, library_keys, name_of, plans, upstream_keys
from paper_figures.efficiency.results import STOCK

WARM_UP = 3
"""Rounds that don't count: memory is allocated, and what a run computes once is computed."""
ANCHORS = 32


def run(
    corpus: Path,
    model: str,
    output: Path,
    *,
    batch: int,
    accumulation: int,
    cutoff: int,
    steps: int,
    only: list[str],
    upstream_venv: Path | None = None,
    threads: int,
) -> Report:
    """Measure and write ``steps-<model>-<batch>x<accumulation>x<cutoff>.json``.

    Args:
        corpus: folder of domains of plain text, with ``dataset_info.json``.
        model: ``tiny``, ``moe`` or a model's folder.
        output: folder of the results.
        batch: rows of a micro-batch.
        accumulation: micro-batches of a step.
        cutoff: tokens of a row.
        steps: rounds that count.
        only: variants; none: all.
        upstream_venv: environment of upstream's dataflex.
        threads: of each process.
    """
    report = Report("steps")
    rounds = WARM_UP + steps
    # One step more than is taken: the end of a run, with its last log, is no step to be compared.
    budget = rounds + 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        needs = step_workload.Needs(budget * batch * accumulation, ANCHORS, cutoff)
        work = step_workload.make(folder, corpus, model, needs)
        shared = common(work, folder, batch=batch, accumulation=accumulation, cutoff=cutoff, steps=budget)
        every = plans(library(), library_keys(model, work, folder / "reference"), shared, folder)
        if upstream_venv is not None:
            keys = upstream_keys(model, work, folder, budget)
            every += plans(upstream(upstream_venv), keys, shared, folder)
        report.about = {
            "model": name_of(model),
            "batch": batch,
            "accumulation": accumulation,
            "cutoff": cutoff,
            "warm_up": WARM_UP,
            "anchors": ANCHORS,
            "domains": len(work.domains),
        }
        chosen = _chosen(every, only)
        try:
            _measure(report, chosen, folder / "runs", threads, rounds)
        except KeyboardInterrupt:
            console.print("interrupted: the rounds so far are kept")
        places = [(plan.side.name, plan.variant) for plan in chosen]
        report.runs.sort(key=lambda run: places.index((run["side"], run["variant"])))
    report.write(output / f"steps-{name_of(model)}-{batch}x{accumulation}x{cutoff}.json")
    return report


def _chosen(every: list[Plan], only: list[str]) -> list[Plan]:
    """Return the runs of the named variants, and those that they are divided by."""
    unknown = set(only) - {plan.variant for plan in every}
    if unknown:
        raise SystemExit(f"no variants {sorted(unknown)}; there are {sorted({p.variant for p in every})}")
    wanted = {*only, STOCK}
    chosen = [plan for plan in every if not only or plan.variant in wanted]
    sides = {plan.side.name for plan in chosen if plan.variant != STOCK}
    return [plan for plan in chosen if plan.side.name in sides]


def _measure(report: Report, chosen: list[Plan], folder: Path, threads: int, rounds: int) -> None:
    case: dict[str, Any] = {}
    described = f"{len(chosen)} runs in lockstep"
    stream = lockstep(chosen, folder, threads, rounds)
    for step in track(stream, described, total=(rounds + 1) * len(chosen), console=console, transient=True):
        side, variant = step.plan.side.name, step.plan.variant
        if step.told is None:
            failure = {"side": side, "variants": variant, "error": step.error[:300], "case": "{}"}
            report.failures.append(failure)
            console.print(f"{side}: {step.error}", style="red", markup=False, highlight=False)
        elif step.round < 0:
            report.environments[side] = step.told["environment"]
            report.about["parameters"] = step.told["parameters"]
        elif step.round >= WARM_UP:
            counted = {"round": step.round - WARM_UP} | step.told
            report.runs.append({"side": side, "variant": variant, "case": case} | counted)
