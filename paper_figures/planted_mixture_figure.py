"""The figure of the planted mixtures: regret by method, and what each domain was given over the run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dataflex.evidence.mixtures import read_shares
from dataflex.evidence.results import SHARES, CellResult
from dataflex.evidence.tolerance import mean
from paper_figures.figures import COLOURS, DASHES, STYLE
from paper_figures.layout import ordered
from paper_figures.planted_mixture import DOMAINS, NOISE, Mixed, studies

Steps = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]
COLUMNS = 3
WANTED = [name for name in DOMAINS if name != NOISE]
LINES = {name: (COLOURS[1 + place], DASHES[place]) for place, name in enumerate(WANTED)}
LINES[NOISE] = ("#777777", DASHES[2])
OTHER = (COLOURS[0], DASHES[0])


def regrets_and_shares(results: Sequence[CellResult]) -> Figure:
    """Above, the regret of every method with its interval and its seeds; below, a panel a method.

    ``results`` are the runs of the planted mixtures.
    """
    found = studies(results)
    methods = [method for study in found for method in study.methods]
    static = [value for study in found for method in study.static for value in method.regrets]
    below = -(-len(methods) // COLUMNS)
    with mpl.rc_context(STYLE):
        heights = [0.7 + 0.27 * len(methods), 1.9 * below]
        figure = Figure(figsize=(7.2, 0.6 + sum(heights)), layout="constrained")
        top, bottom = np.asarray(figure.subfigures(2, 1, height_ratios=heights)).ravel()
        _regrets(top.subplots(), methods, static)
        panels = np.asarray(bottom.subplots(below, COLUMNS, squeeze=False, sharey=True, sharex=True))
        for place, axes in enumerate(panels.ravel()):
            if place < len(methods):
                _panel(axes, methods[place])
            else:
                axes.set_visible(False)
        handles, labels = panels[0, 0].get_legend_handles_labels()
        bottom.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
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


def _panel(axes: Axes, method: Mixed) -> None:
    """A line a domain: its share of the loss weights where there are such, else of the tokens asked for."""
    drawn = [trajectory(run) for run in method.runs]
    domains = ordered(drawn[0], DOMAINS)
    for domain in domains:
        steps = drawn[0][domain][0]
        shares = np.mean([run[domain][1] for run in drawn], axis=0)
        colour, dash = LINES.get(domain, OTHER)
        axes.plot(steps, shares, color=colour, linestyle=dash, label=domain)
    axes.set_title(method.name + (": loss weights" if method.weighs else ""), loc="left", fontsize=8)
    axes.set_xlabel("Optimizer step", fontsize=8)
    axes.set_ylim(0, None)


def trajectory(run: CellResult) -> dict[str, tuple[Steps, Shares]]:
    """By domain, the logged steps and the shares of the stretches that end there."""
    lines = read_shares(run.folder / SHARES)
    totals: dict[int, float] = defaultdict(float)
    values = [line.asked if line.weight is None else line.weight for line in lines]
    for line, value in zip(lines, values, strict=True):
        totals[line.step] += value
    found: dict[str, tuple[list[int], list[float]]] = defaultdict(lambda: ([], []))
    for line, value in zip(lines, values, strict=True):
        steps, shares = found[line.domain]
        steps.append(line.step)
        shares.append(value / totals[line.step])
    return {name: (np.array(steps), np.array(shares)) for name, (steps, shares) in found.items()}
