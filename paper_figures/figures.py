"""Learning curves: training loss over steps, a panel an experiment, a line a method."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dataflex.evidence.results import CellResult, read_curve
from paper_figures.layout import EXPERIMENTS, METHODS, label, ordered
from paper_figures.style import BELOW, NARROW, STYLE, WIDTH, line

TITLES = {
    "mixture": "Mixtures, from scratch",
    "mixture_moe": "Mixtures by experts' load",
    "selection": "Selection, LoRA",
    "weighting": "Reweighting, LoRA",
}
COLUMNS = 2

Curve = tuple[np.ndarray, np.ndarray]


def learning_curves(results: Sequence[CellResult]) -> Figure:
    """The figure: one panel for each experiment, model and scale; bands are ± one deviation over seeds."""
    panels: dict[tuple[str, str, str], dict[str, list[CellResult]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        experiment, method, model, scale = result.key
        panels[experiment, model, scale][method].append(result)
    experiments = ordered((key[0] for key in panels), EXPERIMENTS)
    keys = sorted(panels, key=lambda key: (experiments.index(key[0]), key))
    columns = min(COLUMNS, len(keys))
    lines = -(-len(keys) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH if columns > 1 else NARROW, 3.3 * lines), layout="constrained")
        axes = np.asarray(figure.subplots(lines, columns, squeeze=False)).ravel()
        several = len({key[1:] for key in keys}) > 1
        for place, key in zip(axes, keys, strict=False):
            name = TITLES.get(key[0], key[0])
            _panel(place, panels[key], f"{name}\n{key[1]}, {key[2]}" if several else name)
        for place in axes[len(keys) :]:
            place.set_visible(False)
        for place in axes[::columns]:
            place.set_ylabel("Training loss (nats per token)")
    return figure


def _panel(axes: Axes, methods: dict[str, list[CellResult]], title: str) -> None:
    for index, method in enumerate(ordered(methods, METHODS)):
        steps, losses = _common(methods[method])
        centre = losses.mean(axis=0)
        colour, dash = line(index)
        axes.plot(steps, centre, color=colour, linestyle=dash, label=label(method))
        if len(losses) > 1:
            deviation = losses.std(axis=0, ddof=1)
            axes.fill_between(
                steps, centre - deviation, centre + deviation, color=colour, alpha=0.1, linewidth=0
            )
    axes.set_title(title, loc="left")
    axes.set_xlabel("Optimizer step")
    axes.set_xlim(left=0)
    axes.legend(**BELOW, ncols=2)


def _common(runs: Sequence[CellResult]) -> Curve:
    """Steps that all seeds logged, and the losses there: shapes ``(steps,)`` and ``(seeds, steps)``."""
    curves = [{step: loss for step, _, loss in read_curve(run.folder / "curve.csv")} for run in runs]
    steps = sorted(set.intersection(*(set(curve) for curve in curves)))
    return np.array(steps), np.array([[curve[step] for step in steps] for curve in curves])
