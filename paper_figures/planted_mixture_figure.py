"""The figure of the planted mixtures: regret by method, and what each domain was given over the run."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dataflex.evidence import shares
from dataflex.evidence.results import SHARES, CellResult
from dataflex.evidence.statistics.seeds import mean
from paper_figures.layout import ordered
from paper_figures.planted_mixture import DOMAINS, NOISE, Mixed, studies
from paper_figures.style import COLOURS, DASHES, STYLE, WIDTH
from paper_figures.trajectories import draw

COLUMNS = 4
WANTED = [name for name in DOMAINS if name != NOISE]
LINES = {name: (COLOURS[1 + place], DASHES[place]) for place, name in enumerate(WANTED)}
LINES[NOISE] = ("#777777", (0.0, (4, 1, 1, 1, 1, 1)))
OTHER = (COLOURS[0], DASHES[0])


def regrets_and_shares(results: Sequence[CellResult]) -> Figure:
    """Above, the regret of every method with its interval and its seeds; below, a panel a method.

    ``results`` are the runs of the planted mixtures.
    """
    found = studies(results)
    methods = [method for study in found for method in study.methods]
    static = [value for study in found for method in study.static for value in method.regrets]
    below = -(-len(methods) // COLUMNS)
    domains = ordered(results[0].metrics["entropy"], DOMAINS)
    lines = {name: LINES.get(name, OTHER) for name in domains}
    with mpl.rc_context(STYLE):
        heights = [0.6 + 0.22 * len(methods), 0.5 + 1.45 * below]
        figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
        top, bottom = np.asarray(figure.subfigures(2, 1, height_ratios=heights)).ravel()
        _regrets(top.subplots(), methods, static)
        panels = np.asarray(bottom.subplots(below, COLUMNS, squeeze=False, sharey=True, sharex=True))
        for place, axes in enumerate(panels.ravel()):
            if place < len(methods):
                method = methods[place]
                runs = [shares.read(run.folder / SHARES) for run in method.runs]
                draw(axes, runs, [method.name], domains, lines)
                axes.set_ylim(0, 1)
                axes.tick_params(labelbottom=True)
            else:
                axes.set_visible(False)
        for axes in panels.ravel()[max(0, len(methods) - COLUMNS) : len(methods)]:
            # The lowest that is shown, above a place that may be empty.
            axes.set_xlabel("Optimizer step")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        bottom.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        for axes in panels[:, 0]:
            axes.set_ylabel("Share")
    return figure


def _regrets(axes: Axes, methods: Sequence[Mixed], static: Sequence[float]) -> None:
    """A line a method; the grey band is where the static mixtures of the yardstick lie."""
    if static:
        axes.axvspan(min(static), max(static), color="#eeeeee", zorder=0)
    axes.axvline(0, color="black", linewidth=0.8)
    for place, method in enumerate(methods):
        if not method.regrets:
            continue
        axes.plot(method.regrets, [place] * len(method.regrets), "o", color="#999999", markersize=3)
        centre = mean(method.regrets)
        low, high = method.interval or (centre, centre)
        axes.errorbar(
            centre,
            place,
            xerr=[[centre - low], [high - centre]],
            fmt="D",
            color="black",
            markersize=4,
            capsize=3,
        )
    axes.set_yticks(range(len(methods)), [method.name for method in methods])
    axes.set_ylim(len(methods) - 0.4, -0.6)
    axes.set_xlabel("Regret to the best static mixture (nats a symbol); band: all static mixtures")
    axes.grid(False, axis="y")
