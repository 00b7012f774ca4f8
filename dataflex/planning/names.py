"""Names of cells as short as they can be told apart by: what all of an experiment share is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

PARTS = ("model", "scale", "seed")
LISTED = 8
"""Methods that are named side by side; of more the first of them, and how many others there are."""


class Name(NamedTuple):
    """Experiment, method, and what the method's cells differ by."""

    experiment: str
    method: str
    rest: str

    def __str__(self) -> str:
        return together([self])


def short_names(cells: Sequence[Mapping[str, Any]]) -> dict[str, Name]:
    """A name for the path of each cell, which no other one of them has.

    Args:
        cells: with their coordinates and, as ``cell``, their path.
    """
    found = {}
    for cell in cells:
        alike = [one for one in cells if _method(one) == _method(cell)]
        parts = [part for part in PARTS if len({one[part] for one in alike}) > 1]
        rest = " ".join(f"seed {cell[part]}" if part == "seed" else str(cell[part]) for part in parts)
        found[str(cell["cell"])] = Name(str(cell["experiment"]), str(cell["method"]), rest)
    return found


def together(names: Sequence[Name]) -> str:
    """Names of cells of one experiment in few words: methods that share the rest are put side by side."""
    by_rest: dict[str, list[str]] = {}
    for name in names:
        by_rest.setdefault(name.rest, []).append(name.method)
    # Methods that have the same several rests share those, too.
    by_methods: dict[tuple[str, ...], list[str]] = {}
    for rest, methods in by_rest.items():
        by_methods.setdefault(tuple(methods), []).append(rest)
    said = [f"{_listed(methods)} {', '.join(rests)}".strip() for methods, rests in by_methods.items()]
    return f"{names[0].experiment}/{'; '.join(said)}"


def _listed(methods: Sequence[str]) -> str:
    if len(methods) <= LISTED:
        return ", ".join(methods)
    return f"{', '.join(methods[: LISTED - 1])} and {len(methods) - LISTED + 1} more"


def _method(cell: Mapping[str, Any]) -> tuple[Any, Any]:
    return cell["experiment"], cell["method"]
