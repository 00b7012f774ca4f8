"""How a kind of number is read: units, and what a difference of two published numbers is."""

from __future__ import annotations

import math
from typing import Literal

Gauge = Literal["accuracy", "perplexity", "proportion", "seconds", "reduction"]
PublishedIn = Literal["share", "percent", "perplexity", "seconds"]

VALUE_UNITS: dict[Gauge, str] = {
    "accuracy": "%",
    "perplexity": "perplexity",
    "proportion": "% of tokens",
    "seconds": "s",
    "reduction": "%",
}
DIFFERENCE_UNITS: dict[Gauge, str] = {
    "accuracy": "points",
    "perplexity": "bits",
    "proportion": "points",
    "seconds": "s",
    "reduction": "points",
}


def value(number: float, published_in: PublishedIn) -> float:
    """A published number in the unit of values."""
    return 100 * number if published_in == "share" else number


def difference(minuend: float, subtrahend: float, gauge: Gauge, published_in: PublishedIn) -> float:
    """The difference of two published numbers.

    Of perplexities it is the logarithm of their ratio to base 2, in bits a unit of text: a ratio means the
    same whatever the perplexities are of.
    """
    if gauge == "perplexity":
        return math.log2(minuend / subtrahend)
    return value(minuend, published_in) - value(subtrahend, published_in)
