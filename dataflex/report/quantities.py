"""How numbers are written on the page: one form for each kind."""

from __future__ import annotations

import math

MISSING = "\N{EN DASH}"


def decimals(value: float | None) -> int:
    """Decimals that a number is published with: those of its first four significant digits, without zeros."""
    return 2 if value is None else len(f"{value:.4g}".partition(".")[2])


def number(value: float | None, digits: int = 2, signed: bool = False) -> str:
    """A number with ``digits`` decimals, two more where nothing would be left of it; a true minus sign."""
    if value is None or not math.isfinite(value):
        return MISSING
    if 0 < abs(value) < 0.5 * 10**-digits:
        digits += 2
    return f"{value:{'+' if signed else ''}.{digits}f}".replace("-", "\N{MINUS SIGN}")


def interval(bounds: tuple[float, float] | None, digits: int, signed: bool = False) -> str:
    """Both ends in brackets."""
    return MISSING if bounds is None else f"[{', '.join(number(end, digits, signed) for end in bounds)}]"


def seconds(value: float | None) -> str:
    """A duration in at most two units."""
    if value is None:
        return MISSING
    if round(value, 1) < 60:
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
