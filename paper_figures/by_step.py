"""The paper's figure of selection: accuracy during training, a panel a model, a line a method."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dataflex.evidence import by_step
from dataflex.evidence.results import BY_STEP, CellResult
from dataflex.evidence.statistics.seeds import mean
from paper_figures.layout import EXPERIMENTS, METHODS, label, ordered
from paper_figures.style import NARROW, STYLE, WIDTH, Line, line

COLUMNS = 2
Curve = Sequence[by_step.Point]


def accuracy_by_step(results: Sequence[CellResult]) -> Figure | None:
    """A panel an experiment, model and scale whose checkpoints were evaluated; None if there is none."""
    panels: dict[tuple[str, str, str], dict[str, list[Curve]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        if BY_STEP in result.files:
            experiment, method, model, scale = result.key
            panels[experiment, model, scale][method].append(by_step.read(result.folder / BY_STEP))
    if not panels:
        return None
    experiments = ordered((key[0] for key in panels), EXPERIMENTS)
    keys = sorted(panels, key=lambda key: (experiments.index(key[0]), key))
    varies = [len({key[place] for key in keys}) > 1 for place in range(3)]
    methods = ordered((method for curves in panels.values() for method in curves), METHODS)
    lines = {method: line(place) for place, method in enumerate(methods)}
    columns = min(COLUMNS, len(keys))
    rows = -(-len(keys) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH if columns > 1 else NARROW, 0.9 + 2.6 * rows), layout="constrained")
        places = np.asarray(figure.subplots(rows, columns, squeeze=False)).ravel()
        for axes, key in zip(places, keys, strict=False):
            # Models always; experiments and scales where there are several.
            title = ", ".join(key[place] for place in (1, 0, 2) if place == 1 or varies[place])
            _panel(axes, panels[key], title, lines)
        for axes in places[len(keys) :]:
            axes.set_visible(False)
        for axes in places[::columns]:
            axes.set_ylabel("Accuracy on the questions (%)")
        handles = [
            mpl.lines.Line2D([], [], color=colour, linestyle=dash, label=label(method))
            for method, (colour, dash) in lines.items()
        ]
        figure.legend(
            handles=handles,
            title="Bands: ± one binomial standard error",
            loc="outside lower center",
            ncols=min(5, len(handles)),
        )
    return figure


def _panel(axes: Axes, methods: Mapping[str, Sequence[Curve]], title: str, lines: Mapping[str, Line]) -> None:
    for method in ordered(methods, METHODS):
        steps, accuracies, errors = averaged(methods[method])
        centre, error = 100 * np.array(accuracies), 100 * np.array(errors)
        colour, dash = lines[method]
        axes.plot(steps, centre, color=colour, linestyle=dash)
        axes.fill_between(steps, centre - error, centre + error, color=colour, alpha=0.1, linewidth=0)
    axes.set_title(title, loc="left")
    axes.set_xlabel("Optimizer step")
    axes.set_xlim(left=0)


def averaged(runs: Sequence[Curve]) -> tuple[list[int], list[float], list[float]]:
    """Mean over the seeds at the steps that all of them have.

    Returns:
        Steps, accuracies, and their binomial standard errors. The seeds answer the same questions, so that
        more seeds do not make the error smaller.
    """
    curves = [{point.step: point for point in run} for run in runs]
    steps = sorted(set.intersection(*(set(curve) for curve in curves)))
    accuracies = [mean([curve[step].acc for curve in curves]) for step in steps]
    questions = [curves[0][step].n for step in steps]
    errors = [math.sqrt(p * (1 - p) / n) for p, n in zip(accuracies, questions, strict=True)]
    return steps, accuracies, errors
