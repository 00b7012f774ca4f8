"""Small drawings of a cell, without a drawing library: learning curve, mixture, accuracy by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT, MARGIN = 320.0, 84.0, 3.0
MOST_POINTS = 96
"""Points that a drawing holds; of a longer curve every part keeps its extremes."""
LINES = 8
"""Colours of the style sheet; further lines begin again with the first."""
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """A domain in a drawing of shares: its name, the style sheet's colour, its first and last share."""

    name: str
    place: int
    first: float
    last: float


def thinned(points: Points, most: int = MOST_POINTS) -> list[tuple[float, float]]:
    """The same curve with at most about ``most`` points: of each part its lowest and its highest."""
    if len(points) <= most:
        return list(points)
    kept = {0, len(points) - 1}
    parts = most // 2
    for part in range(parts):
        inside = range(part * len(points) // parts, (part + 1) * len(points) // parts)
        kept |= {min(inside, key=lambda i: points[i][1]), max(inside, key=lambda i: points[i][1])}
    return [points[place] for place in sorted(kept)]


def drawing(
    curves: Sequence[Points], label: str, *, low: float | None = None, shares: bool = False
) -> Markup:
    """An SVG with a line a curve, all on the same axes; nothing where there is no point.

    Args:
        curves: x ascending.
        label: what is drawn, for those who can't see it; empty hides it from them, where words say the same.
        low: the lower end of the ordinate; None for the least value.
        shares: give every line a colour of its own.
    """
    drawn = [thinned(curve) for curve in curves if curve]
    if not drawn:
        return Markup("")
    xs = [x for curve in drawn for x, _ in curve]
    ys = [y for curve in drawn for _, y in curve]
    left, right = min(xs), max(xs)
    bottom, top = min(ys) if low is None else low, max(ys)
    paths = []
    for place, curve in enumerate(drawn):
        at = [
            f"{_scaled(x, left, right, WIDTH):.1f} {HEIGHT - _scaled(y, bottom, top, HEIGHT):.1f}"
            for x, y in curve
        ]
        # A single point is a dot: a line of no length with round ends.
        path = f"M{at[0]}h0" if len(at) == 1 else f"M{at[0]}L{' '.join(at[1:])}"
        paths.append(Markup('<path class="l{}" d="{}"/>').format(place % LINES if shares else "", path))
    attributes = Markup('role="img" aria-label="{}"').format(label) if label else Markup('aria-hidden="true"')
    return Markup(
        '<svg class="drawing" viewBox="0 0 {:.0f} {:.0f}" preserveAspectRatio="none" {}>{}</svg>'
    ).format(WIDTH, HEIGHT, attributes, Markup("").join(paths))


def _scaled(value: float, low: float, high: float, length: float) -> float:
    share = 0.5 if high == low else (value - low) / (high - low)
    return MARGIN + share * (length - 2 * MARGIN)
