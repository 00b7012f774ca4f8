"""The figure of the planted pool: the classes that each method picked, as stacked bars."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from dataflex.evidence.results import CellResult
from paper_figures.planted import Marked, classes_of, marked
from paper_figures.style import STYLE, WIDTH

# Okabe and Ito's palette again; hatches tell the classes apart in print.
FILLS = {
    "relevant": ("#009E73", ""),
    "duplicated": ("#56B4E9", "//"),
    "corrupted": ("#D55E00", "\\\\"),
    "learned": ("#E69F00", ".."),
    "irrelevant": ("#BBBBBB", ""),
}
OTHER = ("#CC79A7", "xx")
HEIGHT = 0.62


def picked_classes(results: Sequence[CellResult]) -> Figure:
    """A bar a method: its target's classes first, framed; a diamond at the precision with its interval.

    ``results`` are the runs of the planted experiment.
    """
    methods = marked(results)
    classes = classes_of(results)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 1.4 + 0.33 * len(methods)), layout="constrained")
        axes = figure.subplots()
        for place, method in enumerate(methods):
            _bar(axes, place, method, classes)
        axes.set_yticks(range(len(methods)), [method.name for method in methods])
        axes.set_ylim(len(methods) - 0.4, -0.6)
        axes.set_xlim(0, 1)
        axes.set_xlabel("Share of the picked rows")
        axes.grid(False, axis="y")
        handles: list[object] = [
            Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=name)
            for name in classes
            for colour, hatch in (FILLS.get(name, OTHER),)
        ]
        handles.append(
            mpl.lines.Line2D(
                [], [], color="black", marker="D", markersize=4, label="precision, 95 % interval"
            )
        )
        handles.append(
            mpl.lines.Line2D([], [], color="black", linestyle=":", linewidth=1.2, label="random picking")
        )
        figure.legend(
            handles=handles,
            loc="outside upper left",
            ncols=4,
            handlelength=1.8,
            columnspacing=1.4,
        )
    return figure


def _bar(axes: Axes, place: int, method: Marked, classes: Sequence[str]) -> None:
    """Draw a method's bar: the target from the left, so that the frame ends at the precision."""
    left = 0.0
    for name in [*method.target, *(name for name in classes if name not in method.target)]:
        width = method.share(name)
        colour, hatch = FILLS.get(name, OTHER)
        axes.barh(place, width, HEIGHT, left, color=colour, hatch=hatch, edgecolor="white", linewidth=0.5)
        left += width
    top, bottom = place - HEIGHT / 2, place + HEIGHT / 2
    axes.barh(place, method.precision, HEIGHT, facecolor="none", edgecolor="black", linewidth=1.4)
    axes.plot([method.base_rate] * 2, [top, bottom], color="black", linestyle=":", linewidth=1.2)
    low, high = method.interval
    axes.errorbar(
        method.precision,
        place,
        xerr=[[max(0.0, method.precision - low)], [max(0.0, high - method.precision)]],
        fmt="D",
        markersize=4,
        color="black",
        markeredgecolor="white",
        markeredgewidth=0.6,
        capsize=3,
        elinewidth=1.2,
        clip_on=False,
        zorder=3,
    )
