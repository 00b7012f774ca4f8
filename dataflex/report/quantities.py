"""How numbers are written on the page: one form for each kind."""

from __future__ import annotations

import math

MISSING = "\N{EN DASH}"


def number(value: float | None, signed: bool = False) -> str:
    """Three significant digits, or two decimals where the number is larger; a true minus sign."""
    if value is None or not math.isfinite(value):
        return MISSING
    size = abs(value)
    digits = 2 if size >= 1 else 3
    if 0 < size < 0.01:
        digits = min(8, 1 - math.floor(math.log10(size)))
    return f"{value:{'+' if signed else ''}.{digits}f}".replace("-", "\N{MINUS SIGN}")


def interval(bounds: tuple[float, float] | None, signed: bool = False) -> str:
    """Both ends in brackets."""
    return MISSING if bounds is None else f"[{number(bounds[0], signed)}, {number(bounds[1], signed)}]"


def seconds(value: float | None) -> str:
    """A duration in at most two units."""
    if value is None:
        return MISSING
    if value < 60:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(value / 60)
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{value / 86400:.1f} d"


def count(value: float | None) -> str:
    """A count with narrow spaces between thousands; long ones in millions or billions."""
    if value is None:
        return MISSING
    for size, unit in ((1e9, "B"), (1e6, "M")):
        if value >= 10 * size or (unit == "B" and value >= size):
            return f"{value / size:.1f} {unit}"
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
