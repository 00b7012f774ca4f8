"""Estimates with their intervals below one another on one axis, drawn without a drawing library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dataflex.evidence.statistics.estimate import Interval

EDGE = 2.0
"""Per cent of the width that stays free at either end."""


@dataclass(frozen=True)
class Estimated:
    """A line: a name, a number with its interval, and the number that it is to be compared with."""

    name: str
    value: float
    interval: Interval | None
    words: str
    beside: float | None = None


@dataclass(frozen=True)
class Forest:
    """The drawing of several estimates.

    Attributes:
        title: what they are.
        how: what the marks mean.
        anchor: of the table with the same numbers.
        lines: each with its drawing.
        ends: what the axis begins and ends with.
    """

    title: str
    how: str
    anchor: str
    lines: tuple[tuple[Estimated, Markup], ...]
    ends: tuple[str, str]


def forest(
    title: str, how: str, anchor: str, estimates: Sequence[Estimated], *, to: float | None = None
) -> Forest:
    """Draw estimates on an axis from zero.

    Args:
        title: see ``Forest``.
        how: see ``Forest``.
        anchor: see ``Forest``.
        estimates: in the order in which they are shown.
        to: the axis's end; None for the largest number.
    """
    reached = [end for one in estimates for end in (one.value, *(one.interval or ()))]
    most = max(reached) if to is None else to
    least = min(0.0, *reached)
    return Forest(
        title,
        how,
        anchor,
        tuple((one, _line(one, least, most)) for one in estimates),
        (f"{least:.2g}", f"{most:.2g}"),
    )


def _line(one: Estimated, least: float, most: float) -> Markup:
    def at(value: float) -> str:
        share = 0.5 if most == least else (value - least) / (most - least)
        return f"{EDGE + share * (100 - 2 * EDGE):.2f}%"

    low, high = one.interval or (one.value, one.value)
    parts = [Markup('<line class="axis" x1="0" x2="100%" y1="50%" y2="50%"/>')]
    if one.beside is not None:
        parts.append(
            Markup('<line class="beside" x1="{0}" x2="{0}" y1="15%" y2="85%"/>').format(at(one.beside))
        )
    parts += [
        Markup('<line class="range" x1="{}" x2="{}" y1="50%" y2="50%"/>').format(at(low), at(high)),
        Markup('<circle cx="{}" cy="50%" r="3.6"/>').format(at(one.value)),
    ]
    return Markup('<svg aria-hidden="true">{}</svg>').format(Markup("").join(parts))
