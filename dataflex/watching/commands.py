"""``dataflex-cli status``: what is every cell of a grid doing?"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, RenderableType
from rich.live import Live

from dataflex.errors import UserError
from dataflex.watching.overview import Overview, look
from dataflex.watching.show import render, summary

LOG_WIDTH = 120
"""Columns where the output goes to a file."""


def status(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Folder of a grid: what the workflow writes.")
    ] = Path("runs/demo"),
    grid: Annotated[
        Path | None, typer.Option(help="The grid file. Default: as the workflow noted in DIR/grid.json.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Renew the table until every cell is done.")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks of --watch.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what every cell of a grid is doing: its state, step, loss, pace, restarts and logs.

    It reads files and nothing else, so that it works beside a running grid on one machine, on the login node
    of a cluster, and on a grid that has finished or died.
    """
    if as_json and watch:
        raise UserError("--json shows one moment: leave out --watch, or ask again")
    if as_json:
        print(json.dumps(look(folder, grid).as_dict(), indent=2))
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=LOG_WIDTH)
    if watch:
        keep_watching(lambda: look(folder, grid), console, lambda: time.sleep(every))
    else:
        # Paths stay whole where they are longer than a line.
        console.print(render(look(folder, grid), console.width), crop=False)


def keep_watching(see: Callable[[], Overview], console: Console, pause: Callable[[], None]) -> None:
    """Show a grid anew until every cell of it is done or Ctrl-C is pressed.

    In a terminal the table is renewed in its place; elsewhere a line is printed when it says something new.
    """
    show = _renewed if console.is_terminal else _told
    with suppress(KeyboardInterrupt):
        show(see, console, pause)


def _renewed(see: Callable[[], Overview], console: Console, pause: Callable[[], None]) -> None:
    with Live(console=console, auto_refresh=False) as live:
        while True:
            view = see()
            live.update(_fitting(view, console), refresh=True)
            if view.finished:
                return
            pause()


def _told(see: Callable[[], Overview], console: Console, pause: Callable[[], None]) -> None:
    told = None
    while True:
        view = see()
        if (line := summary(view)) != told:
            console.print(line, soft_wrap=True, markup=False, highlight=False)
            told = line
        if view.finished:
            return
        pause()


def _fitting(view: Overview, console: Console) -> RenderableType:
    """All cells if there is room for them, else those that something happens to."""
    whole = render(view, console.width)
    fits = len(console.render_lines(whole)) < console.height
    return whole if fits else render(view, console.width, brief=True)
