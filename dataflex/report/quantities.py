"""How numbers are written on the page: one form for each kind; an error decides the digits."""

from __future__ import annotations

import math

from dataflex.evidence.statistics.estimate import Interval

MISSING = "\N{EN DASH}"
ERROR_DIGITS = 2
"""Significant digits of an error; the number that it belongs to ends where it does."""
MOST_DECIMALS = 6


def decimals_of(error: float | None, digits: int = ERROR_DIGITS) -> int:
    """Decimals that show so many significant digits of an error; those of a hundredth where there is none."""
    if error is None or not math.isfinite(error) or error == 0:
        return 2
    # Rounding may carry into a place more: .0996 is .10.
    return min(MOST_DECIMALS, max(0, digits - 1 - int(f"{abs(error):.{digits - 1}e}".partition("e")[2])))


def decimals(value: float | None, margin: float | None = None) -> int:
    """Decimals of a published number: its own, to four significant digits; its margin's, or one more."""
    own = 2 if value is None else len(f"{value:.4g}".partition(".")[2])
    if margin is None:
        return own
    least = decimals_of(margin)
    return max(least, min(own, least + 1))


def number(value: float | None, digits: int = 2, signed: bool = False) -> str:
    """A number with ``digits`` decimals and a true minus sign; none before what rounds to nothing."""
    if value is None or not math.isfinite(value):
        return MISSING
    shown = f"{value:{'+' if signed else ''}.{digits}f}"
    if not float(shown):
        shown = shown.lstrip("+-")
    return shown.replace("-", "\N{MINUS SIGN}")


def significant(value: float | None) -> str:
    """A number to two significant digits, as of an effect or a margin."""
    return number(value, decimals_of(value))


def interval(bounds: Interval | None, digits: int, signed: bool = False) -> str:
    """Both ends in brackets."""
    return MISSING if bounds is None else f"[{', '.join(number(end, digits, signed) for end in bounds)}]"


def half(bounds: Interval | None) -> float | None:
    """Half the width of an interval: the error that decides the digits."""
    return None if bounds is None else (bounds[1] - bounds[0]) / 2


def with_interval(value: float, bounds: Interval | None, signed: bool = False) -> str:
    """A number and its interval, both to the digits of its error."""
    digits = decimals_of(half(bounds))
    shown = number(value, digits, signed)
    return shown if bounds is None else f"{shown} {interval(bounds, digits, signed)}"


def plus_minus(value: float, bounds: Interval | None) -> str:
    """A number ± half of its interval, both to the digits of the latter; three decimals without one."""
    error = half(bounds)
    if error is None:
        return number(value, 3)
    digits = decimals_of(error)
    return f"{number(value, digits)} ± {number(error, digits)}"


def plural(count: int, word: str) -> str:
    """A count with its word."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


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
