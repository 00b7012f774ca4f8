"""TSDS over the size of the pool: seconds of each implementation, and what is saved, beside the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from paper_figures.efficiency.figure import TSDS
from paper_figures.efficiency.results import Results, Spread
from paper_figures.published import tsds_reduction
from paper_figures.style import BELOW, COLOURS, DASHES, STYLE, WIDTH

AUTHORS = ("upstream", "authors tsds")
BAND = "#DDDDDD"
MARKERS = "osD^"


def tsds_figure(every: Sequence[Results]) -> Figure | None:
    """Left seconds, right the part of the authors' time that is saved; None where TSDS was not measured.

    A colour an implementation, a dash and a marker a number of queries.
    """
    measured = [results for results in every if results.benchmark == "tsds"]
    if not measured:
        return None
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.3 * len(measured)), layout="constrained")
        panels = np.asarray(figure.subplots(len(measured), 2, squeeze=False))
        for (seconds, saved), results in zip(panels, measured, strict=True):
            for place, queries in enumerate(sorted({case["queries"] for case in results.cases()})):
                cases = [case for case in results.cases() if case["queries"] == queries]
                form = {"linestyle": DASHES[place % len(DASHES)], "marker": MARKERS[place % len(MARKERS)]}
                _seconds(seconds, results, cases, form)
                _saved(saved, results, cases, form)
            _pools(seconds, results)
            _pools(saved, results)
            least, most = tsds_reduction()
            saved.axhspan(
                least, most, color=BAND, label=f"paper: DataFlex below the authors, {least:g} to {most:g} %"
            )
            saved.axhline(0, color="black", linewidth=0.8)
            seconds.set_ylabel("Seconds")
            seconds.set_yscale("log")
            seconds.yaxis.set_major_formatter("{x:g}")
            saved.set_ylabel("Below the authors' time (%)")
            for axes in (seconds, saved):
                axes.legend(**BELOW)
    return figure


def _label(name: str, queries: int) -> str:
    return f"{name}, {queries:,} queries"


def _seconds(axes: Axes, results: Results, cases: Sequence[dict[str, Any]], form: dict[str, Any]) -> None:
    for index, (key, name) in enumerate(TSDS.items()):
        timed = [(case["rows"], results.seconds(*key, case)) for case in cases]
        found = sorted((rows, spread) for rows, spread in timed if spread is not None)
        if found:
            middles = [spread.median for _, spread in found]
            spans = [[s.median - s.least for _, s in found], [s.most - s.median for _, s in found]]
            axes.errorbar(
                [rows for rows, _ in found],
                middles,
                yerr=spans,
                color=COLOURS[index],
                markersize=3,
                label=_label(name, cases[0]["queries"]),
                **form,
            )


def _saved(axes: Axes, results: Results, cases: Sequence[dict[str, Any]], form: dict[str, Any]) -> None:
    for index, (key, name) in enumerate(TSDS.items()):
        if key == AUTHORS:
            continue
        found = sorted(
            (case["rows"], saving(own, theirs))
            for case in cases
            if (own := results.seconds(*key, case)) and (theirs := results.seconds(*AUTHORS, case))
        )
        if found:
            places, savings = zip(*found, strict=True)
            axes.plot(
                places,
                savings,
                color=COLOURS[index],
                markersize=3,
                label=_label(name, cases[0]["queries"]),
                **form,
            )


def saving(own: Spread, theirs: Spread) -> float:
    """By how many percent one median is below another; negative where it is above."""
    return 100 * (1 - own.median / theirs.median)


def _pools(axes: Axes, results: Results) -> None:
    axes.set_xscale("log")
    ticks = sorted({case["rows"] for case in results.cases()})
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("Rows of the pool")
