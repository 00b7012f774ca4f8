"""Seconds over the size of the pool, on logarithmic axes: LESS and TSDS, a line a variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from paper_figures.efficiency.results import BY_LENGTH, POOL_ORDER, Results
from paper_figures.style import BELOW, STYLE, WIDTH, line

COLUMNS = 2
LESS = {
    ("library", POOL_ORDER): "plain, pool order",
    ("library", "exact"): "ours",
    ("library", "projected"): "ours, projected",
    ("upstream", "upstream, gradients"): "upstream, no projection",
    ("upstream", "upstream"): "upstream",
    ("authors", "authors"): "authors",
    ("library", BY_LENGTH): BY_LENGTH,
}
TSDS = {
    ("library", "library tsds"): "ours",
    ("upstream", "upstream tsds"): "upstream",
    ("upstream", "authors tsds"): "authors",
}


def draw(every: Sequence[Results]) -> Figure | None:
    """Return a panel a result, or None where there is nothing to draw."""
    shown = [
        results for results in every if results.benchmark in ("less", "tsds") and len(results.cases()) > 1
    ]
    if not shown:
        return None
    rows = -(-len(shown) // COLUMNS)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.3 * rows), layout="constrained")
        panels = np.asarray(figure.subplots(rows, COLUMNS, squeeze=False)).ravel()
        for axes in panels[len(shown) :]:
            axes.set_visible(False)
        for axes, results in zip(panels, shown, strict=False):
            if results.benchmark == "less":
                fewest = min(case.get("gpus", 1) for case in results.cases())
                cases = [case for case in results.cases() if case.get("gpus", 1) == fewest]
                _panel(axes, results, cases, LESS)
                axes.set_title(f"LESS, {results.about['model']}", loc="left")
            else:
                most = max(case["queries"] for case in results.cases())
                cases = [case for case in results.cases() if case["queries"] == most]
                _panel(axes, results, cases, TSDS)
                axes.set_title(f"TSDS, {most:,} queries", loc="left")
        for axes in panels[::COLUMNS]:
            axes.set_ylabel("Seconds")
    return figure


def _panel(
    axes: Axes,
    results: Results,
    cases: Sequence[Mapping[str, Any]],
    names: Mapping[tuple[str, str], str],
) -> None:
    def size(case: Mapping[str, Any]) -> float:
        return float(case["rows"] if "rows" in case else case["share"] * results.about["rows"])

    for index, (key, name) in enumerate(names.items()):
        measured = [(size(case), results.seconds(*key, case)) for case in cases]
        found = sorted((rows, spread) for rows, spread in measured if spread is not None)
        if not found:
            continue
        places, middles = [rows for rows, _ in found], [spread.median for _, spread in found]
        spans = [[s.median - s.least for _, s in found], [s.most - s.median for _, s in found]]
        colour, dash = line(index)
        style = {"color": colour, "linestyle": dash, "label": name}
        axes.errorbar(places, middles, yerr=spans, marker="o", markersize=3, **style)  # type: ignore[arg-type]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(ticks := sorted({size(case) for case in cases}), [f"{tick:,.0f}" for tick in ticks])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("Rows of the pool")
    axes.legend(**BELOW, ncols=2)
