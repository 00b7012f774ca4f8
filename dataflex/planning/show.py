"""The plan of a grid, printed for people, as wide as their terminal."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.filesize import decimal
from rich.text import Text

from dataflex.planning.fitting import Fitted, fitted, put_together
from dataflex.planning.names import Name, short_names
from dataflex.planning.totals import totals
from dataflex.planning.typed import lines
from dataflex.planning.words import duration, span

FILE_WIDTH = 100
"""Letters of a line where neither a terminal nor COLUMNS says how many it has."""
MARKS = "*†‡§"
SHOWN_MIXTURES = 8
"""Columns of a table of domains; an experiment with more different mixtures gets none."""
SHOWN_CELLS = 60
"""Cells of a table; of a grid with more the seeds after the first are left out."""


def print_grid_plan(plan: Mapping[str, Any]) -> None:
    """Print a plan made by ``dataflex.planning.plan.grid_plan``."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = FILE_WIDTH
    width = console.width
    seeds = f", seeds {', '.join(map(str, plan['seeds']))}" if plan["seeds"] else ""
    console.print(f"[bold]{plan['grid']}[/bold]{seeds}: {sum(plan['counts'].values())} jobs")
    tables = [_kinds(plan, width)]
    # Benchmarks alone train nothing.
    if plan["cells"]:
        tables += [_jobs(plan, width), *_domains(plan, width), _memory(plan, width)]
    if plan["comparisons"]:
        tables.append(_comparisons(plan, width))
    if "budget" in plan:
        tables.append(_budget(plan, width))
    for one in tables:
        console.print()
        _print_paragraph(console, one.title, "")
        console.print(one.table)
        for note in one.notes:
            _print_wrapped(console, note)
    if typed := plan.get("budget", {}).get("commands"):
        console.print()
        _print_paragraph(console, "to run what remains, without benchmarks, one after the other", "")
        for line in (line for command in typed for line in lines(command, width)):
            console.print(Text(line))
    console.print()
    for heading, text in totals(plan):
        _print_paragraph(console, heading, text)
    console.print("What this rests on:")
    for line in plan["assumed"]:
        _print_wrapped(console, f"- {line}")


def _print_paragraph(console: Console, heading: str, text: str) -> None:
    lines = _wrapped(f"{heading}: {text}" if text else heading, console.width)
    first = Text(lines[0])
    first.stylize("bold", 0, len(heading))
    console.print(first)
    for line in lines[1:]:
        console.print(Text(line))


def _print_wrapped(console: Console, text: str) -> None:
    for line in _wrapped(text, console.width):
        console.print(Text(line))


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, width, subsequent_indent="  ", break_long_words=True, break_on_hyphens=False
    ) or [""]


def _shown(plan: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Cells of the tables: all, or those of the first seed where there are too many."""
    cells = plan["cells"]
    if len(cells) <= SHOWN_CELLS:
        return list(cells)
    return [cell for cell in cells if cell["seed"] == plan["seeds"][0]]


def _kinds(plan: Mapping[str, Any], width: int) -> Fitted:
    """All jobs; of those that only copy or draw something the time is not worth counting."""
    unit = plan["device"]["kind"]
    rows: list[tuple[str, Sequence[str]]] = []
    moments: list[Mapping[str, Any]] = []
    for row in plan["kinds"]:
        if row["estimated"] and not row["device_hours"]:
            moments.append(row)
            continue
        limit = "-" if row["limit_hours"] is None else duration(row["limit_hours"])
        time = duration(row["device_hours"]) if row["estimated"] else "not estimated"
        rows.append((row["kind"], (str(row["jobs"]), time, limit)))
    title = "jobs, as `snakemake -n` lists them where nothing is there yet"
    named = ", ".join(f"{row['jobs']} {row['kind']}" for row in moments)
    return fitted(
        title,
        "kind",
        rows,
        ("jobs", f"{unit} time", "at most"),
        width,
        kept=("jobs",),
        notes=[f"of a moment each: {named}"] if moments else (),
    )


def _jobs(plan: Mapping[str, Any], width: int) -> Fitted:
    shown = _shown(plan)
    cells, unit = {cell["cell"]: cell for cell in shown}, plan["device"]["kind"]
    names = short_names(shown)
    looks: dict[str, float] = {}
    for job in plan["jobs"]:
        if job["kind"] in ("evaluate", "evaluate_steps", "measure", "mark"):
            path = "/".join(job["name"].partition(" ")[2].split("/")[:2])
            looks[path] = looks.get(path, 0.0) + job["hours"]
    rows: dict[Name, Sequence[str]] = {}
    for job in plan["jobs"]:
        path = job["name"].partition(" ")[2]
        if job["kind"] != "train" or path not in cells:
            continue
        cell = cells[path]
        rows[names[path]] = (
            span(job["start_hours"], job["start_hours_most"]),
            duration(job["hours"]),
            str(job["devices"]),
            duration(job["device_hours"]),
            _awaited(job["waits_for"], cells),
            f"{cell['steps']:,}",
            f"{'' if cell['tokens_exact'] else '~'}{cell['tokens']:,}",
            duration(looks[path]) if path in looks else "-",
        )
    hidden = len(plan["cells"]) - len(cells)
    notes = _limits(plan)
    if any(not cell["tokens_exact"] for cell in cells.values()):
        notes.append("~ of rows of the mean length")
    notes += [f"and {hidden} cells of other seeds"] if hidden else []
    mark = "" if plan["device"]["measured"] else " (assumed)"
    return fitted(
        f"trainings in the order in which they can start; times on {plan['device']['name']}{mark}",
        "training",
        put_together(rows),
        ("starts at", "takes", f"{unit}s", f"{unit} time", "after", "steps", "tokens", "then evaluated"),
        width,
        kept=("starts at", "takes"),
        notes=notes,
    )


def _awaited(job: str | None, cells: Mapping[str, Mapping[str, Any]]) -> str:
    """What a training waits for longest, in few words."""
    if job is None:
        return "-"
    kind, _, name = job.partition(" ")
    return str(cells[name]["method"]) if kind == "train" and name in cells else f"{kind} {name}"


def _limits(plan: Mapping[str, Any]) -> list[str]:
    """How long what trainings wait for can take, where no rate is known."""
    waited = {job["waits_for"] for job in plan["jobs"] if job["kind"] == "train"}
    found: dict[float, list[str]] = {}
    for job in plan["jobs"]:
        if job["name"] in waited and not job["estimated"]:
            found.setdefault(job["limit_hours"], []).append(job["name"])
    return [f"{', '.join(sorted(names))}: at most {duration(limit)}" for limit, names in found.items()]


def _domains(plan: Mapping[str, Any], width: int) -> list[Fitted]:
    """A table an experiment and scale; methods that take the same tokens share a column."""
    groups: dict[tuple[str, str], dict[tuple[Any, ...], list[tuple[str, str]]]] = {}
    for cell in plan["cells"]:
        if len(cell["domains"]) < 2 or cell["seed"] != plan["seeds"][0]:
            continue
        taken = tuple((one["domain"], one["tokens"], one["epochs"]) for one in cell["domains"])
        columns = groups.setdefault((cell["experiment"], cell["scale"]), {})
        columns.setdefault(taken, []).append((cell["method"], cell["decided"]))
    return [
        _domain_table(f"{experiment} {scale}", columns, width)
        for (experiment, scale), columns in groups.items()
        if len(columns) <= SHOWN_MIXTURES
    ]


def _domain_table(
    name: str, columns: Mapping[tuple[Any, ...], Sequence[tuple[str, str]]], width: int
) -> Fitted:
    marks: dict[str, str] = {}
    headings = []
    for methods in columns.values():
        heading = []
        for method, decided in methods:
            mark = "" if decided == "as given" else marks.setdefault(decided, MARKS[len(marks) % len(MARKS)])
            heading.append(method + mark)
        headings.append(", ".join(heading))
    rows = [
        (domain, [_taken(taken[number]) for taken in columns])
        for number, (domain, _, _) in enumerate(next(iter(columns)))
    ]
    return fitted(
        f"{name}: tokens to train, and passes over the domain",
        "domain",
        rows,
        headings,
        width,
        notes=[f"{mark} {decided}" for decided, mark in marks.items()],
    )


def _taken(one: tuple[str, int, float | None]) -> str:
    _, tokens, epochs = one
    return f"{tokens:,}" + ("" if epochs is None else f" {epochs:.2f}x")


def _memory(plan: Mapping[str, Any], width: int) -> Fitted:
    there = plan["device"]["memory_gb"]
    limit = f"; a device has {there:g} GB" if there else ""
    shown = _shown(plan)
    names = short_names(shown)
    rows: dict[Name, Sequence[str]] = {}
    for cell in shown:
        parts = cell["memory_bytes"]
        peak = decimal(parts["peak"]) + (" !" if cell["fits"] is False else "")
        sizes = [decimal(value) if value else "-" for name, value in parts.items() if name != "peak"]
        rows[names[cell["cell"]]] = (peak, decimal(cell["disk_bytes"]), *sizes)
    too_much = any(cell["fits"] is False for cell in shown)
    return fitted(
        f"peak memory of a process, by arithmetic{limit}",
        "training",
        put_together(rows),
        ("peak", "on disk", "weights", "gradients", "optimizer", "activations", "logits", "others"),
        width,
        kept=("peak",),
        notes=["! more than a device has"] if too_much else (),
    )


def _comparisons(plan: Mapping[str, Any], width: int) -> Fitted:
    compared = [{"cell": number, "seed": 0, **one} for number, one in enumerate(plan["comparisons"])]
    names = short_names(compared)
    rows: dict[Name, Sequence[str]] = {}
    for one in compared:
        seen, told = one["detectable_points"], one["published_points"]
        said = one["verdict"] or "-"
        if said == "depends":
            said = f"if answers differ on < {one['seen_up_to_disagreement']:.0%}"
        rows[names[str(one["cell"])]] = (
            f"{told:+.2f}" if told is not None else "-",
            said,
            f"{seen[0]:.2f} to {seen[1]:.2f}" if seen else "-",
            f"{one['questions']:,}" if one["questions"] else "unknown",
        )
    over = plan["comparisons"][0]["detectable_over_seeds_sd"]
    seeds = len(plan["comparisons"][0]["seeds"])
    note = (
        f"{seeds} seeds: also {over:.2f} standard deviations of the difference over seeds"
        if over is not None
        else "1 seed: question sampling alone; what another seed would give is not covered"
    )
    return fitted(
        "what each comparison could detect (80 % power, two-sided 5 %), in points of accuracy",
        "comparison",
        put_together(rows),
        ("published", "verdict", "detectable", "questions"),
        width,
        kept=("published", "verdict"),
        notes=[note],
    )


def _budget(plan: Mapping[str, Any], width: int) -> Fitted:
    found, unit = plan["budget"], plan["device"]["kind"]
    names, beside = short_names(plan["cells"]), found["beside_device_hours_most"]
    return fitted(
        f"to drop, in this order, for {found['asked_device_hours']:g} {unit} hours; "
        f"{found['device_hours']:,.1f} remain: {len(found['keep'])} cells, {len(found['train'])} trainings",
        "cell",
        [(str(names[one["cell"]]), (one["because"],)) for one in found["drop"]],
        ("because",),
        width,
        kept=("because",),
        notes=[
            f"cells alone are dropped: benchmarks and checks may take {duration(beside)} of {unit} time "
            "beside them"
        ]
        if beside
        else [],
    )
