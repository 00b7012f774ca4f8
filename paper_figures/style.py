"""How every figure looks, and its files: the same bytes each time."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart with any colour vision; yellow is left out as too pale on white.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
DASHES: tuple[tuple[float, tuple[float, ...]], ...] = (
    (0.0, ()),
    (0.0, (5, 1.5)),
    (0.0, (1.2, 1.2)),
    (0.0, (6, 1.5, 1.2, 1.5)),
)

WIDTH, HEIGHT = 6.9, 7.9
"""Inches that a figure has on the paper's page, above its caption: it is printed as large as it is drawn."""
NARROW = 4.6
"""Of a figure with one panel."""
Line = tuple[str, tuple[float, tuple[float, ...]]]
"""Colour and dashes."""

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "legend.columnspacing": 1.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.5,
    # Without these two, ids and times make every SVG file different.
    "svg.hashsalt": "dataflex",
    "svg.fonttype": "path",
}

BELOW: Mapping[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0.0, -0.2), "borderaxespad": 0.0}
"""Where a panel's own legend stands: below its axis, off the data."""


def line(place: int) -> Line:
    """Colour and dashes of a figure's line; the first 28 differ, the first seven in colour."""
    return COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)]


KINDS: Mapping[str, tuple[Any, Mapping[str, None]]] = {
    "svg": (FigureCanvasSVG, {"Date": None, "Creator": None}),
    "pdf": (FigureCanvasPdf, {"CreationDate": None, "Creator": None, "Producer": None}),
    "png": (FigureCanvasAgg, {"Software": None}),
}
"""Endings, what writes them, and the metadata that is left out: times and versions."""


def settle(figure: Figure) -> None:
    """Find the places of everything, for all forms: that takes most of the time.

    Places depend on the ticks' labels and these on the places, so that one pass may leave a label cut off.
    """
    FigureCanvasAgg(figure)
    for _ in range(2):
        figure.draw_without_rendering()
    figure.set_layout_engine("none")


def save(figure: Figure, folder: Path, name: str, kinds: Sequence[str] = tuple(KINDS)) -> None:
    """Write ``<name>.<kind>`` for all ``kinds``, the same bytes each time."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        settle(figure)
        for ending in kinds:
            canvas, metadata = KINDS[ending]
            temporary = folder / f"{name}.tmp.{ending}"
            canvas(figure)
            figure.savefig(temporary, dpi=150, metadata=metadata)
            os.replace(temporary, folder / f"{name}.{ending}")


def svg(figure: Figure) -> str:
    """A figure as an SVG document, the same text each time."""
    stream = io.StringIO()
    with mpl.rc_context(STYLE):
        settle(figure)
        FigureCanvasSVG(figure)
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue()
