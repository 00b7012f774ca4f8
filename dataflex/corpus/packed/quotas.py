"""How many tokens of a budget each domain gets, in whole numbers that add up to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

from dataflex.errors import UserError

SLIMPAJAMA = {
    "RedPajamaCommonCrawl": "54.1",
    "RedPajamaC4": "28.7",
    "RedPajamaGithub": "4.2",
    "RedPajamaBook": "3.7",
    "RedPajamaArXiv": "3.4",
    "RedPajamaWikipedia": "3.1",
    "RedPajamaStackExchange": "2.8",
}
"""Percentages of SlimPajama's tokens."""

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_BUDGET = re.compile(r"(\d+(?:_\d+)*(?:\.\d+)?)\s*([KMBT]?)", re.IGNORECASE)

Shares = Mapping[str, Fraction]


def read_budget(text: str) -> int:
    """A number of tokens such as ``6B``, ``1.5M`` or ``200000``.

    Raises:
        UserError: it is none, or not a whole number of at least one.
    """
    match = _BUDGET.fullmatch(text.strip())
    tokens = Fraction(match[1].replace("_", "")) * _UNITS[match[2].upper()] if match else Fraction(0)
    if tokens < 1 or tokens.denominator != 1:
        raise UserError(f"--tokens {text}: say a number of tokens such as 6B, 1.5M or 200000")
    return int(tokens)


def read_proportions(text: str) -> dict[str, str] | None:
    """Proportions as given: none for ``natural``, else numbers by domain.

    Args:
        text: ``natural``, ``slimpajama`` or ``name=share,...``.

    Raises:
        UserError: it is none of these, a share is not a positive number, or a name comes twice.
    """
    if text == "natural":
        return None
    if text == "slimpajama":
        return dict(SLIMPAJAMA)
    return read_shares(text, "--proportions", "natural, slimpajama or name=share,...")


def read_shares(text: str, option: str, form: str = "name=share,...") -> dict[str, str]:
    """Numbers by domain, from ``name=share,...``.

    Args:
        text: what was given.
        option: its name.
        form: what may be given, for the message.

    Raises:
        UserError: a pair is none, a share is not a positive number, or a name comes twice.
    """
    found: dict[str, str] = {}
    for part in text.split(","):
        name, equals, share = (word.strip() for word in part.partition("="))
        try:
            positive = Fraction(share) > 0
        except (ValueError, ZeroDivisionError):
            positive = False
        if not (name and equals and positive):
            raise UserError(f"{option} {text}: say {form}; {part!r} is no such pair")
        if name in found:
            raise UserError(f"{option} {text}: {name} comes twice")
        found[name] = share
    return found


def quotas(
    budget: int, available: Mapping[str, int], proportions: Mapping[str, str] | None
) -> dict[str, int]:
    """Tokens of each domain: proportional, each within one of exact, and ``budget`` together.

    Args:
        budget: tokens in all.
        available: tokens of each domain.
        proportions: numbers by domain; None keeps those of `available`.

    Raises:
        UserError: an unknown domain, or one that has too few tokens; says the largest budget that fits.
    """
    if proportions is None:
        shares = {name: Fraction(tokens) for name, tokens in available.items()}
    else:
        unknown = sorted(set(proportions) - set(available))
        if unknown:
            raise UserError(
                f"--proportions names {unknown[0]!r}, which the corpus lacks; it has {', '.join(available)}"
            )
        shares = {name: Fraction(proportions[name]) for name in available if name in proportions}
    whole = sum(shares.values(), Fraction(0))
    most = min(int(available[name] * whole / share) for name, share in shares.items() if share)
    exact = {name: budget * share / whole for name, share in shares.items()}
    counts = {name: int(value) for name, value in exact.items()}
    left = budget - sum(counts.values())
    for name in sorted(exact, key=lambda name: (counts[name] - exact[name], name))[:left]:
        counts[name] += 1
    short = [name for name, count in counts.items() if count > available[name]]
    if short:
        raise UserError(
            f"--tokens {budget}: {counts[short[0]]} from {short[0]}, which has {available[short[0]]}; "
            f"at most {most} fit: lower --tokens, raise --sample, give more text or other --proportions"
        )
    return {name: count for name, count in counts.items() if count}
