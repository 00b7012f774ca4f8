"""An overview for people: one block an experiment, one line a cell, at any width."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.style import Style
from rich.text import Text

from dataflex.watching.benchmarks import WORDS, BenchmarkState
from dataflex.watching.duration import duration
from dataflex.watching.overview import STOPPED, Overview
from dataflex.watching.states import STATES, CellState
from dataflex.watching.supplies import SUPPLY_WORDS, SupplyState

STYLES = {
    "waiting": "dim",
    "ready": "",
    "queued": "blue",
    "training": "cyan",
    "interrupted": "yellow",
    "lost": "bold magenta",
    "failed": "bold red",
    "trained": "",
    "evaluating": "cyan",
    "evaluated": "green",
    "running": "cyan",
    "measured": "green",
    "done": "green",
}
LIVELY = ("queued", "training", "evaluating", *STOPPED)
"""States whose cells are listed where there is no room for all."""
GAP = "  "
LEAST_ROOM = 12
"""Columns that names have however narrow it is."""
DISPENSABLE = ("tokens/s", "loss", "restarts")
"""Columns that go, in this order, where names would have less."""
Row = tuple[str, ...]


def short_names(names: Sequence[str]) -> tuple[list[str], str]:
    """Leave out of cells' names what all of them share.

    A name is ``<method>.<model>.<scale>.<seed>``; the method always stays, dots inside of a model do too.

    Returns:
        The short names, and what was left out.
    """
    parts = []
    for name in names:
        pieces = name.split(".")
        if len(pieces) < 4:
            return list(names), ""
        parts.append((pieces[0], ".".join(pieces[1:-2]), pieces[-2], pieces[-1]))
    varies = [column == 0 or len({part[column] for part in parts}) > 1 for column in range(4)]
    shared = [parts[0][column] for column in range(4) if not varies[column]] if parts else []
    short = [".".join(part[column] for column in range(4) if varies[column]) for part in parts]
    return short, ".".join(shared)


def compact(value: float | None) -> str:
    """``8712.3`` -> ``8.7k``; ``-`` without a value."""
    if value is None:
        return "-"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.1f}{letter}" if value < 100 * size else f"{value / size:.0f}{letter}"
    return f"{value:.0f}"


def _steps(cell: CellState) -> str:
    done, total = cell.progress.step, cell.progress.total_steps
    if done is None and total is None:
        return "-"
    return f"{'-' if done is None else done}/{'-' if total is None else total}"


def _speed(cell: CellState) -> str:
    mark = "*" if cell.progress.tokens == "input" else ""
    return compact(cell.progress.tokens_per_second) + mark


COLUMNS: dict[str, Callable[[CellState], str]] = {
    "state": lambda cell: cell.state,
    "step": _steps,
    "loss": lambda cell: "-" if cell.progress.loss is None else f"{cell.progress.loss:.3f}",
    "tokens/s": _speed,
    "left": lambda cell: "-" if cell.seconds_left is None else duration(cell.seconds_left),
    "restarts": lambda cell: str(cell.restarts) if cell.restarts else "-",
}


def summary(view: Overview) -> str:
    """One line on the whole grid."""
    counts = view.counts()
    parts = [
        f"{counts['trained']} of {counts['cells']} trained",
        f"{counts['evaluated']} of {counts['to_evaluate']} evaluated",
    ]
    if view.benchmarks:
        measured = sum(one.state == "measured" for one in view.benchmarks)
        parts.append(f"{measured} of {len(view.benchmarks)} benchmarks measured")
    parts += [f"{counts[key]} {key}" for key in ("running", "queued", *STOPPED) if counts[key]]
    if counts["restarts"]:
        parts.append(f"{counts['restarts']} restart{'s' if counts['restarts'] > 1 else ''}")
    ending = "" if view.finished else f"; {view.training_left()[1]}"
    return ", ".join(parts) + ending


def render(view: Overview, width: int, *, brief: bool = False) -> RenderableType:
    """Lay out an overview.

    Args:
        view: the grid.
        width: columns that there are.
        brief: list only the cells that something happens to, or has happened to.
    """
    lines: list[RenderableType] = [Text(f"{view.root}: {summary(view)}", style="bold")]
    lines += [Text(line, style="dim") for line in _about_the_rest(view)]
    lines += _supplies(view.supplies, brief=brief)
    listed = [cell for cell in view.cells if not brief or cell.state in LIVELY]
    columns = [
        name
        for name, value in COLUMNS.items()
        if name == "state" or any(value(cell) not in ("-", "-/-") for cell in listed)
    ]
    texts = {name: [COLUMNS[name](cell) for cell in listed] for name in columns}
    sizes = {name: max(map(len, [name, *texts[name]])) for name in columns}
    for name in DISPENSABLE:
        if name in columns and _room(width, [sizes[name] for name in columns]) < LEAST_ROOM:
            columns.remove(name)
    widths = [sizes[name] for name in columns]
    rows = {cell.cell.path: tuple(texts[name][i] for name in columns) for i, cell in enumerate(listed)}
    blocks = [list(cells) for _, cells in groupby(view.cells, key=lambda cell: cell.cell.experiment)]
    names: dict[str, str] = {}
    headings: list[str] = []
    for cells in blocks:
        short, shared = short_names([cell.cell.name for cell in cells])
        names |= {cell.cell.path: GAP + name for cell, name in zip(cells, short, strict=True)}
        headings.append(cells[0].cell.experiment + (f" ({shared})" if shared else ""))
    longest = max((len(names[path]) for path in rows), default=0)
    name_width = min(longest, max(_room(width, widths), LEAST_ROOM))
    if rows:
        lines.append(Text(" " * name_width + _aligned(tuple(columns), widths), style="dim", no_wrap=True))
    for heading, cells in zip(headings, blocks, strict=True):
        lines.append(Text(f"{heading}: {_tally(cells)}", style="bold"))
        if blocker := view.blocker(cells):
            lines.append(
                Padding(Text(f"waits for {blocker}", style="dim"), (0, 0, 0, len(GAP)), expand=False)
            )
        for cell in cells:
            if cell.cell.path in rows:
                lines += _row(cell, names[cell.cell.path], rows[cell.cell.path], widths, name_width)
                lines += _notes(cell)
    lines += _benchmarks(view.benchmarks, brief=brief)
    if any(cell.progress.tokens == "input" for cell in listed):
        lines.append(Text("* input tokens; elsewhere the tokens that are learned from", style="dim"))
    return Group(*lines)


def _supplies(supplies: Sequence[SupplyState], *, brief: bool) -> Iterable[RenderableType]:
    """What is taken, made and checked before the trainings, as long as some of it is to be done."""
    states = [one.state for one in supplies]
    if all(state == "done" for state in states):
        return
    tally = ", ".join(f"{states.count(state)} {state}" for state in SUPPLY_WORDS if state in states)
    yield Text(f"before the trainings: {tally}", style="bold")
    left = [one for one in supplies if one.state != "done" and not (brief and one.state == "waiting")]
    width = max((len(f"{one.supply.rule} {one.supply.name}") for one in left), default=0)
    for one in left:
        name = f"{one.supply.rule} {one.supply.name}".ljust(width)
        yield from _job_lines(name, one.state, one.reason, one.log)


def _benchmarks(benchmarks: Sequence[BenchmarkState], *, brief: bool) -> Iterable[RenderableType]:
    """The efficiency experiments, as a group of their own."""
    states = [one.state for one in benchmarks]
    if not states:
        return
    tally = ", ".join(f"{states.count(state)} {state}" for state in WORDS if state in states)
    yield Text(f"efficiency: {tally}", style="bold")
    width = max(len(one.name) for one in benchmarks)
    for one in benchmarks:
        if brief and one.state in ("waiting", "measured"):
            continue
        yield from _job_lines(one.name.ljust(width), one.state, one.reason, one.log)


def _job_lines(name: str, state: str, reason: str | None, log: Path | None) -> Iterable[RenderableType]:
    """A line for a job without a cell; below it why it is in its state, and the log where that is told."""
    yield Text.assemble(GAP + name + GAP, (state, STYLES[state]), no_wrap=True)
    for note in filter(None, (reason, f"log: {log}" if log and reason else None)):
        yield Padding(Text(note, style="dim"), (0, 0, 0, 2 * len(GAP)), expand=False)


def _room(width: int, widths: Sequence[int]) -> int:
    """What columns of these widths leave for the names."""
    return width - sum(widths) - len(GAP) * len(widths)


def _tally(cells: Sequence[CellState]) -> str:
    states = [cell.state for cell in cells]
    return ", ".join(f"{states.count(state)} {state}" for state in STATES if state in states)


def _about_the_rest(view: Overview) -> Iterable[str]:
    if view.note:
        yield view.note
    parts = []
    for kind, ready in (("corpora", view.corpora), ("models", view.models)):
        missing = [name for name, is_ready in ready.items() if not is_ready]
        if ready:
            there = f"{len(ready) - len(missing)} of {len(ready)} {kind} ready"
            parts.append(there + (f" (not yet {', '.join(missing)})" if missing else ""))
    if parts:
        yield ", ".join(parts)


def _row(cell: CellState, name: str, row: Row, widths: list[int], name_width: int) -> list[Text]:
    """A cell's line; a name that is too long for its column has a line of its own."""
    linked = Text(name, no_wrap=True)
    linked.stylize(_link(cell.run_dir), len(GAP))
    numbers = Text(_aligned(row, widths), no_wrap=True)
    style = Style.parse(STYLES[cell.state]) + _link(_log(cell))
    numbers.stylize(style, len(GAP), len(GAP) + len(cell.state))
    if len(linked) > name_width:
        return [linked, Text(" " * name_width, no_wrap=True) + numbers]
    # Padded without the link, which would underline the blanks.
    return [Text.assemble(linked, " " * (name_width - len(linked)), numbers, no_wrap=True)]


def _aligned(row: Row, widths: list[int]) -> str:
    """The state to the left, numbers to the right."""
    numbers = [text.rjust(size) for text, size in zip(row[1:], widths[1:], strict=True)]
    return "".join(GAP + text for text in (row[0].ljust(widths[0]), *numbers))


def _notes(cell: CellState) -> list[RenderableType]:
    """What does not fit into columns: why it stands still, why it was restarted, where to read on."""
    notes = [cell.reason] if cell.reason else []
    if cell.state in STOPPED and cell.checkpoint is not None:
        notes.append(f"goes on from step {cell.checkpoint}")
    if not cell.finished and cell.attempts[:-1]:
        notes.append(f"last restart: {cell.why_restarted()[-1]}")
    indent = 2 * len(GAP)
    lines: list[RenderableType] = [
        Padding(Text(note, style="dim"), (0, 0, 0, indent), expand=False) for note in notes
    ]
    log = _log(cell)
    if cell.state in LIVELY and log is not None:
        # In one piece, so that it can be copied.
        path = Text(f"log: {log}", style="dim", no_wrap=True, overflow="ignore")
        path.stylize(_link(log), len("log: "))
        path.pad_left(indent)
        lines.append(path)
    return lines


def _log(cell: CellState) -> Path | None:
    """The log of the job that the cell's state is about, or else any of the cell's."""
    own = [log for log in cell.logs if f"/logs/{cell.rule}/" in f"/{log.as_posix()}"]
    return next(iter([*own, *cell.logs]), None)


def _link(file: Path | None) -> Style:
    """A hyperlink, which terminals that know none pass over."""
    return Style(link=file.resolve().as_uri()) if file is not None and file.exists() else Style()
