"""The plan of a grid, printed for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

FILE_WIDTH = 150
"""Letters of a line where no terminal says how many it has."""
MARKS = "*†‡§"
SHOWN_MIXTURES = 8
"""Columns of a table of domains; an experiment with more different mixtures gets none."""
SHOWN_CELLS = 60
"""Cells of a table; of a grid with more the seeds after the first are left out."""


def print_grid_plan(plan: Mapping[str, Any]) -> None:
    """Print a plan made by ``dataflex.planning.plan.grid_plan``."""
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, FILE_WIDTH)
    console.print(
        f"[bold]{plan['grid']}[/bold], seeds {_listed(plan['seeds'])}: {sum(plan['counts'].values())} jobs"
    )
    console.print(_kinds(plan))
    console.print(_jobs(plan))
    for table in _domains(plan):
        console.print(table)
    console.print(_memory(plan))
    if plan["comparisons"]:
        console.print(_comparisons(plan))
    if "budget" in plan:
        console.print(_budget(plan))
    _print_totals(console, plan)


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))


def _shown(plan: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Cells of the tables: all, or those of the first seed where there are too many."""
    cells = plan["cells"]
    if len(cells) <= SHOWN_CELLS:
        return list(cells)
    return [cell for cell in cells if cell["seed"] == plan["seeds"][0]]


def _right(table: Table, *headings: str) -> None:
    for heading in headings:
        table.add_column(heading, justify="right")


def _kinds(plan: Mapping[str, Any]) -> Table:
    """All jobs; of those that only copy or draw something the time is not worth counting."""
    unit = plan["device"]["kind"]
    table = Table(title="jobs, as `snakemake -n` lists them where nothing is there yet")
    table.add_column("kind", no_wrap=True)
    _right(table, "jobs", f"{unit} time", "each at most")
    for row in plan["kinds"]:
        time = duration(row["device_hours"]) if row["device_hours"] else "a moment"
        limit = "-" if row["limit_hours"] is None else duration(row["limit_hours"])
        table.add_row(row["kind"], str(row["jobs"]), time if row["estimated"] else "not estimated", limit)
    return table


def _jobs(plan: Mapping[str, Any]) -> Table:
    cells, unit = {cell["cell"]: cell for cell in _shown(plan)}, plan["device"]["kind"]
    looks: dict[str, float] = {}
    for job in plan["jobs"]:
        if job["kind"] in ("evaluate", "evaluate_steps", "measure", "mark"):
            path = "/".join(job["name"].partition(" ")[2].split("/")[:2])
            looks[path] = looks.get(path, 0.0) + job["hours"]
    mark = "" if plan["device"]["measured"] else " (assumed)"
    table = Table(
        title=f"trainings in the order in which they can start; times on {plan['device']['name']}{mark}"
    )
    table.add_column("training", no_wrap=True)
    _right(table, "starts", "steps", "tokens", f"{unit}s", "takes", f"{unit} time", "then evaluated")
    for job in plan["jobs"]:
        path = job["name"].partition(" ")[2]
        if job["kind"] != "train" or path not in cells:
            continue
        cell = cells[path]
        table.add_row(
            path,
            duration(job["start_hours"]),
            f"{cell['steps']:,}",
            f"{'' if cell['tokens_exact'] else '~'}{cell['tokens']:,}",
            str(job["devices"]),
            duration(job["hours"]),
            duration(job["device_hours"]),
            duration(looks[path]) if path in looks else "-",
        )
    hidden = len(plan["cells"]) - len(cells)
    notes = (
        ["~ of rows of the mean length"] if any(not cell["tokens_exact"] for cell in cells.values()) else []
    )
    notes += [f"and {hidden} cells of other seeds"] if hidden else []
    table.caption = "; ".join(notes) or None
    return table


def duration(hours: float) -> str:
    """Say hours in the unit that suits them."""
    if hours >= 10:
        return f"{hours:,.0f} h"
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{60 * hours:.1f} min" if hours >= 1 / 60 else f"{3600 * hours:.0f} s"


def _domains(plan: Mapping[str, Any]) -> list[Table]:
    """A table an experiment and scale; methods that take the same tokens share a column."""
    groups: dict[tuple[str, str], dict[tuple[Any, ...], list[tuple[str, str]]]] = {}
    for cell in plan["cells"]:
        if len(cell["domains"]) < 2 or cell["seed"] != plan["seeds"][0]:
            continue
        taken = tuple((one["domain"], one["tokens"], one["epochs"]) for one in cell["domains"])
        columns = groups.setdefault((cell["experiment"], cell["scale"]), {})
        columns.setdefault(taken, []).append((cell["method"], cell["decided"]))
    return [
        _domain_table(f"{experiment} {scale}", columns)
        for (experiment, scale), columns in groups.items()
        if len(columns) <= SHOWN_MIXTURES
    ]


def _domain_table(name: str, columns: Mapping[tuple[Any, ...], Sequence[tuple[str, str]]]) -> Table:
    table = Table(title=f"{name}: tokens to train, and passes over the domain")
    table.add_column("domain", no_wrap=True)
    marks: dict[str, str] = {}
    for methods in columns.values():
        heading = []
        for method, decided in methods:
            mark = "" if decided == "as given" else marks.setdefault(decided, MARKS[len(marks) % len(MARKS)])
            heading.append(method + mark)
        table.add_column(", ".join(heading), justify="right")
    for number, (domain, _, _) in enumerate(next(iter(columns))):
        table.add_row(domain, *(_taken(taken[number]) for taken in columns))
    table.caption = "; ".join(f"{mark} {decided}" for decided, mark in marks.items()) or None
    return table


def _taken(one: tuple[str, int, float | None]) -> str:
    _, tokens, epochs = one
    return f"{tokens:,}" + ("" if epochs is None else f" {epochs:.2f}x")


def _memory(plan: Mapping[str, Any]) -> Table:
    there = plan["device"]["memory_gb"]
    limit = f"; a device has {there:g} GB" if there else ""
    table = Table(title=f"peak memory of a process, by arithmetic{limit}")
    table.add_column("training", no_wrap=True)
    _right(table, "weights", "gradients", "optimizer", "activations", "logits", "others", "peak", "on disk")
    seen = set()
    for cell in _shown(plan):
        parts = cell["memory_bytes"]
        key = (cell["experiment"], cell["model"], cell["scale"], cell["disk_bytes"], *parts.values())
        if key in seen:
            continue
        seen.add(key)
        peak = decimal(parts["peak"]) + (" !" if cell["fits"] is False else "")
        sizes = [decimal(value) for name, value in parts.items() if name != "peak"]
        table.add_row(cell["cell"], *sizes, peak, decimal(cell["disk_bytes"]))
    table.caption = "cells with the same numbers are shown once; ! more than a device has"
    return table


def _comparisons(plan: Mapping[str, Any]) -> Table:
    table = Table(
        title="what each comparison could detect (80 % power, two-sided 5 %), in points of accuracy"
    )
    table.add_column("comparison", no_wrap=True)
    _right(table, "questions", "detectable", "published", "verdict")
    for one in plan["comparisons"]:
        seen, told = one["detectable_points"], one["published_points"]
        said = one["verdict"] or "-"
        if said == "depends":
            said = f"if answers differ on < {one['seen_up_to_disagreement']:.0%}"
        table.add_row(
            f"{one['experiment']}/{one['method']}.{one['model']}.{one['scale']}",
            f"{one['questions']:,}" if one["questions"] else "unknown",
            f"{seen[0]:.2f} to {seen[1]:.2f}" if seen else "-",
            f"{told:+.2f}" if told is not None else "-",
            said,
        )
    over = plan["comparisons"][0]["detectable_over_seeds_sd"]
    seeds = len(plan["comparisons"][0]["seeds"])
    table.caption = (
        f"{seeds} seeds: also {over:.2f} standard deviations of the difference over seeds"
        if over is not None
        else "1 seed: question sampling alone; what another seed would give is not covered"
    )
    return table


def _budget(plan: Mapping[str, Any]) -> Table:
    found, unit = plan["budget"], plan["device"]["kind"]
    table = Table(
        title=f"to drop, in this order, for {found['asked_device_hours']:g} {unit} hours; "
        f"{found['device_hours']:,.1f} remain: {len(found['keep'])} cells, {len(found['train'])} trainings"
    )
    table.add_column("cell", no_wrap=True)
    table.add_column("because")
    for one in found["drop"]:
        table.add_row(one["cell"], one["because"])
    return table


def _print_totals(console: Console, plan: Mapping[str, Any]) -> None:
    unit = plan["device"]["kind"]
    parts = ", ".join(
        f"{name} {duration(hours)}" for name, hours in plan["device_hours_by_experiment"].items()
    )
    mark = "" if plan["device"]["measured"] else " [bold](assumed, not measured)[/bold]"
    console.print(
        f"[bold]{duration(plan['device_hours'])} of {unit} time[/bold]{mark}: {parts}", soft_wrap=True
    )
    console.print(
        f"critical path {duration(plan['critical_path_hours'])}: {' > '.join(plan['critical_path'])}",
        soft_wrap=True,
    )
    many = plan["devices_at_a_time"]
    on = f"{many} {unit}s" if many else f"as many {unit}s as it wants"
    console.print(f"on {on} all is done after {duration(plan['makespan_hours'])}")
    late = [
        job for job in plan["jobs"] if job["limit_hours"] is not None and job["hours"] > job["limit_hours"]
    ]
    if late:
        said = ", ".join(f"{job['name']} ({duration(job['limit_hours'])})" for job in late)
        console.print(f"[bold]longer than the runtime that they ask for[/bold]: {said}", soft_wrap=True)
    large = [cell["cell"] for cell in plan["cells"] if cell["fits"] is False]
    if large:
        said = ", ".join(large)
        console.print(
            f"[bold]do not fit into {plan['device']['memory_gb']:g} GB[/bold]: {said}", soft_wrap=True
        )
    disk, downloads = plan["disk_bytes"], plan["download_bytes"]
    said = ", ".join(f"{name} {decimal(size)}" for name, size in disk.items())
    console.print(f"disk {decimal(sum(disk.values()))}: {said}", soft_wrap=True)
    said = ", ".join(f"{name} {decimal(size)}" for name, size in downloads.items())
    console.print(
        f"to download {decimal(sum(downloads.values()))}" + (f": {said}" if said else ""), soft_wrap=True
    )
    console.print("What this rests on:")
    for line in plan["assumed"]:
        console.print(f"- {line}", soft_wrap=True, highlight=False, markup=False)
