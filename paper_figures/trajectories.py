"""What each domain was given over a run: a line a domain, the mean of the seeds with its spread."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dataflex.evidence import shares
from dataflex.evidence.results import SHARES, CellResult
from paper_figures.layout import EXPERIMENTS, METHODS, domain_label, domains_in_order, label, ordered
from paper_figures.style import STYLE, WIDTH, Line, line

COLUMNS = 3


def mixture_weights(results: Sequence[CellResult]) -> Figure | None:
    """A panel a method, model and scale that mixed domains; None if no run did."""
    panels: dict[tuple[str, str, str, str], list[list[shares.Stretch]]] = defaultdict(list)
    for result in results:
        if stretches := shares.read(result.folder / SHARES):
            experiment, method, model, scale = result.key
            panels[experiment, model, scale, method].append(stretches)
    if not panels:
        return None
    experiments = ordered((key[0] for key in panels), EXPERIMENTS)
    methods = ordered((key[3] for key in panels), METHODS)
    keys = sorted(panels, key=lambda key: (experiments.index(key[0]), *key[1:3], methods.index(key[3])))
    several = len({key[1:3] for key in keys}) > 1
    domains = domains_in_order(stretch.domain for runs in panels.values() for run in runs for stretch in run)
    lines = {name: line(place) for place, name in enumerate(domains)}
    rows = -(-len(keys) // COLUMNS)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.7 + 2.0 * rows), layout="constrained")
        places = np.asarray(figure.subplots(rows, COLUMNS, squeeze=False, sharey=True))
        for place, axes in enumerate(places.ravel()):
            if place >= len(keys):
                axes.set_visible(False)
                continue
            key = keys[place]
            draw(axes, panels[key], [label(key[3]), *(key[1:3] if several else ())], domains, lines)
            axes.set_xlabel("Optimizer step")
        # Shared by all panels, so that their heights can be compared.
        places[0, 0].set_ylim(bottom=0, top=min(1.0, places[0, 0].get_ylim()[1]))
        handles, _ = places[0, 0].get_legend_handles_labels()
        figure.legend(
            handles,
            [domain_label(name) for name in domains],
            loc="outside lower center",
            ncols=min(4, len(domains)),
        )
        for axes in places[:, 0]:
            axes.set_ylabel("Share")
    return figure


def draw(
    axes: Axes,
    runs: Sequence[Sequence[shares.Stretch]],
    names: Sequence[str],
    domains: Sequence[str],
    lines: Mapping[str, Line],
) -> None:
    """Draw one panel: shares of the loss weights where there are such, else of the tokens asked for.

    Args:
        axes: the panel.
        runs: the stretches of every seed's run.
        names: of the method, and what else tells the panel apart: the title's first line and its second.
        domains: in the legend's order.
        lines: colour and dashes of each domain.
    """
    drawn = [shares.trajectories(run) for run in runs]
    steps = sorted(set.intersection(*(set(run[domains[0]][0].tolist()) for run in drawn)))
    for domain in domains:
        values = np.array([_at(run[domain], steps) for run in drawn])
        centre = values.mean(axis=0)
        colour, dash = lines[domain]
        axes.plot(steps, centre, color=colour, linestyle=dash, label=domain)
        if len(values) > 1:
            deviation = values.std(axis=0, ddof=1)
            axes.fill_between(
                steps, centre - deviation, centre + deviation, color=colour, alpha=0.15, linewidth=0
            )
    method, *others = names
    second = ", ".join([*others, *(["loss weights"] if shares.weighs(runs[0]) else [])])
    axes.set_title(f"{method}\n{second}" if second else method, loc="left", fontsize=8)


def _at(trajectory: shares.Trajectory, steps: Sequence[int]) -> list[float]:
    """The shares at some logged steps."""
    found = dict(zip(trajectory[0].tolist(), trajectory[1].tolist(), strict=True))
    return [found[step] for step in steps]
