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


def level(number: float, gauge: Gauge, published_in: PublishedIn) -> float:
    """A published number on the scale on which differences are taken, in the unit of differences.

    Of a perplexity it is the logarithm to base 2, bits a unit of text. What that unit is (a token, a byte)
    decides about the size of a difference, not about its sign.
    """
    return math.log2(number) if gauge == "perplexity" else value(number, published_in)
