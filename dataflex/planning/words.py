"""Durations, sizes and ranges of them in words."""

from __future__ import annotations


def duration(hours: float) -> str:
    """Say hours in the unit that suits them."""
    if hours >= 10:
        return f"{hours:,.0f} h"
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{60 * hours:.1f} min" if hours >= 1 / 60 else f"{3600 * hours:.0f} s"


def span(least: float, most: float) -> str:
    """Say a range of hours; a single duration where both ends read the same."""
    low, high = duration(least), duration(most)
    if low == high:
        return low
    (number, _, unit), (_, _, other) = low.partition(" "), high.partition(" ")
    return f"{number if unit == other or not least else low} to {high}"


def counted(number: int, word: str) -> str:
    """A number with its word; rules whose names are plurals stay as they are."""
    return f"{number:,} {word}{'' if number == 1 or word.endswith('s') else 's'}"
