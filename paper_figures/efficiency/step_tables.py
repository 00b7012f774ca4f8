"""Table and figure of optimizer steps in lockstep, made from the results alone."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figures.efficiency.results import STOCK, Results, median_interval
from paper_figures.style import COLOURS, STYLE, WIDTH
from paper_figures.table import Table

LIMITS = {
    "mix static": 1.02,
    "mix random": 1.02,
    "mix odm": 1.02,
    "mix dynamic_moe": 1.02,
    "mix doremi, cached": 1.05,
    "mix doremi, live": 1.35,
    "weight loss": 1.02,
    "weight none": 1.02,
    "weight adapt": 1.05,
    "weight custom": 1.02,
}
"""What a step of this library may cost, in steps of LLaMA-Factory's trainer."""
CASE: dict[str, object] = {}
"""A file holds one case."""
SIDES = {"library": "ours", "upstream": "upstream"}


def steps_table(results: Results) -> Table:
    """Return what a step costs beside one of LLaMA-Factory's trainer in the same environment."""
    rows = []
    for side, variant in results.variants(CASE):
        seconds = results.seconds(side, variant, CASE)
        assert seconds is not None
        limit = LIMITS.get(variant) if side == "library" else None
        sums = results.ratio_of_sums(side, variant, CASE)
        rows.append(
            [
                f"{SIDES[side]}: {variant}",
                f"{seconds.median:.3f}",
                _ratio(results.ratios(side, variant, CASE)),
                "-" if sums is None else f"{sums:.3f}",
                _ratio(results.ratios(side, variant, CASE, "cpu_seconds")),
                "-" if limit is None else f"{limit}",
                _met(results.ratios(side, variant, CASE), limit),
                _met(results.ratios(side, variant, CASE, "cpu_seconds"), limit),
            ]
        )
    about = results.about
    micro_batches = f"{about['accumulation']} micro-batches of " if about["accumulation"] > 1 else ""
    counted = max(len(results.runs(side, variant, CASE)) for side, variant in results.variants(CASE))
    return Table(
        results.name,
        f"Optimizer steps in lockstep, {about['model']} ({about['parameters'] / 1e6:.1f} M parameters), "
        f"{micro_batches}{about['batch']} rows of {about['cutoff']} tokens, {about['domains']} domains: cost "
        "as a multiple of a step of LLaMA-Factory's own trainer",
        (
            *("what", "seconds", "ratio of time", "of sums", "of processor time"),
            *("at most", "met in time", "in processor time"),
        ),
        rows,
        (
            f"Median over {counted} rounds [95 % interval of the median, between order statistics]; a ratio "
            "divides steps of one round, in the same environment.",
            "Of sums: what all rounds took together; what is done only every so often counts in it alone.",
            "Met: the interval lies below the limit; no: above it; open: it holds the limit.",
            "Stock again is LLaMA-Factory's trainer once more: how far a ratio of one is off by chance.",
        ),
        results=[results.ids] * len(rows),
    )


def _ratio(ratios: Sequence[float]) -> str:
    if not ratios:
        return "-"
    median, interval = float(np.median(ratios)), median_interval(ratios)
    return f"{median:.3f}" + (f" [{interval[0]:.3f} to {interval[1]:.3f}]" if interval else "")


def _met(ratios: Sequence[float], limit: float | None) -> str:
    interval = median_interval(ratios)
    if limit is None or interval is None:
        return "-"
    least, most = interval
    return "yes" if most <= limit else "no" if least > limit else "open"


def draw_steps(every: Sequence[Results]) -> Figure | None:
    """Return the ratios with their intervals and limits, a panel a result; None where there is nothing."""
    if not every:
        return None
    heights = [0.5 + 0.19 * len(_shown(results)) for results in every]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.4 + sum(heights)), layout="constrained")
        panels = np.asarray(
            figure.subplots(len(every), 1, squeeze=False, sharex=True, height_ratios=heights)
        ).ravel()
        for axes, results in zip(panels, every, strict=True):
            _panel(axes, results)
        panels[-1].set_xlabel("Step time over that of LLaMA-Factory's trainer; | is the limit")
    return figure


def _shown(results: Results) -> list[tuple[str, str]]:
    return [key for key in results.variants(CASE) if key[1] != STOCK]


def _panel(axes: Axes, results: Results) -> None:
    shown = _shown(results)
    for place, (side, variant) in enumerate(shown):
        ratios = results.ratios(side, variant, CASE)
        middle, interval = float(np.median(ratios)), median_interval(ratios)
        colour = COLOURS[1] if side == "library" else COLOURS[2]
        axes.plot([middle], [place], "o", markersize=4, color=colour)
        if interval:
            axes.plot(interval, [place, place], color=colour)
        if side == "library" and variant in LIMITS:
            axes.plot([LIMITS[variant]], [place], "|", markersize=9, color="#666666")
    axes.axvline(1, color="#999999", linewidth=0.8)
    axes.set_yticks(range(len(shown)), [f"{SIDES[side]}: {variant}" for side, variant in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    about = results.about
    axes.set_title(f"{about['model']}, {about['batch']}x{about['accumulation']} rows", loc="left")
