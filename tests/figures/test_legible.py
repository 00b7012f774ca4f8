"""Every figure is fit to print: unscaled on the page, nothing on top of anything, letters large enough."""

import itertools

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.legend import Legend
from matplotlib.text import Text
from results_factory import write_cell, write_steps

from dataflex.evidence.results import read_results
from paper_figures.by_step import accuracy_by_step
from paper_figures.drawings import build
from paper_figures.efficiency.build import drawings, read
from paper_figures.style import HEIGHT, WIDTH, settle
from paper_figures.trajectories import mixture_weights
from tests.figures.conftest import ROOT

SMALLEST = 7
"""Points; a paper's footnotes have eight."""
TOUCH = 1.5
"""Pixels by which boxes of letters may touch: they are larger than the letters."""


def parts(figure):
    """The figure as it is saved: its visible texts and legends with their boxes in pixels."""
    settle(figure)
    renderer = FigureCanvasAgg(figure).get_renderer()

    def shown(artist):
        axes = getattr(artist, "axes", None)
        return artist.get_visible() and (axes is None or axes.get_visible())

    texts = [text for text in figure.findobj(Text) if shown(text) and text.get_text().strip()]
    # Ticks beyond the ends of an axis are kept, and not drawn.
    ticks = {
        label
        for axes in figure.axes
        for axis, (low, high) in (
            (axes.xaxis, sorted(axes.get_xlim())),
            (axes.yaxis, sorted(axes.get_ylim())),
        )
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        for label in (tick.label1, tick.label2)
        if not (
            low <= tick.get_loc() <= high
            and label.get_visible()
            and tick.get_visible()
            and axes.get_visible()
        )
    }
    return [(text, text.get_window_extent(renderer)) for text in texts if text not in ticks], [
        (legend, legend.get_window_extent(renderer)) for legend in figure.findobj(Legend) if shown(legend)
    ]


def overlap(one, other):
    return (
        min(one.x1, other.x1) - max(one.x0, other.x0) > TOUCH
        and min(one.y1, other.y1) - max(one.y0, other.y0) > TOUCH
    )


def faults(figure):
    """What a printer would send back."""
    texts, legends = parts(figure)
    width, height = figure.get_size_inches()
    found = [] if width <= WIDTH and height <= HEIGHT else [f"{width:.1f} x {height:.1f} inches"]
    page = figure.bbox
    for text, box in texts:
        if text.get_fontsize() < SMALLEST:
            found.append(f"{text.get_text()!r} has {text.get_fontsize()} points")
        if (
            box.x0 < page.x0 - TOUCH
            or box.x1 > page.x1 + TOUCH
            or box.y0 < -TOUCH
            or box.y1 > page.y1 + TOUCH
        ):
            found.append(f"{text.get_text()!r} is cut off")
    for (one, first), (other, second) in itertools.combinations(texts, 2):
        if overlap(first, second):
            found.append(f"{one.get_text()!r} lies on {other.get_text()!r}")
    for legend, box in legends:
        for axes in figure.axes:
            if axes.get_visible() and overlap(box, axes.get_window_extent()):
                found.append(f"a legend of {[t.get_text() for t in legend.get_texts()]} lies on the data")
    return found


def drawn():
    made = {drawing.name: drawing.figure for drawing in build(read_results(ROOT / "results/demo"))}
    return made | {drawing.name: drawing.figure for drawing in drawings(read(ROOT / "results/efficiency"))}


FIGURES = drawn()


@pytest.mark.parametrize("name", FIGURES)
def test_the_figures_of_the_reviewed_results(name):
    assert faults(FIGURES[name]) == []


def test_the_figure_of_accuracy_during_training(tmp_path):
    """The size that the paper's grid will have: two models, nine methods."""
    methods = ("full", "random", "loss", "delta_loss", "less", "nice", "near", "tsds", "reweight")
    for model in ("Mistral-7B-v0.1", "Llama-3.2-3B"):
        for method in methods:
            write_steps(write_cell(tmp_path, "selection", method, model=model), [0.3, 0.4])
    assert faults(accuracy_by_step(read_results(tmp_path))) == []


def test_the_weights_of_the_papers_grid(tmp_path):
    shares = {"RedPajamaCommonCrawl": 0.6, "RedPajamaStackExchange": 0.4}
    for scale in ("6B", "30B"):
        for method in ("baseline", "doremi", "odm"):
            write_cell(tmp_path, method=method, model="Qwen2.5-1.5B", scale=scale, shares=shares)
        write_cell(tmp_path, method="doremi_proxy", model="Qwen2.5-0.5B", scale=scale, shares=shares)
    for file in tmp_path.glob("mixture/doremi_proxy*/shares.csv"):
        lines = file.read_text().splitlines()
        file.write_text("\n".join([lines[0], *(f"{line}0.5" for line in lines[1:])]) + "\n")
    assert faults(mixture_weights(read_results(tmp_path))) == []


def test_a_fault_is_found():
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3, 2))
    axes = figure.subplots()
    axes.plot([0, 1], label="data")
    axes.legend()
    axes.text(0.5, 0.5, "one", fontsize=6)
    axes.text(0.5, 0.5, "another")
    axes.text(3, 0.5, "outside")
    told = " ".join(faults(figure))
    for fault in ("'one' lies on 'another'", "lies on the data", "'outside' is cut off", "'one' has 6"):
        assert fault in told
