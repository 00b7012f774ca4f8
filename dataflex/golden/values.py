"""Taking values apart into arrays and texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

Leaf = np.ndarray | str
"""Numbers, always a copy, floating ones as float64; or a text."""


def leaves(value: Any, place: str = "") -> Iterator[tuple[str, Leaf]]:
    """Yield the arrays and texts in a value, each with its place.

    Members of a list have the list's place, one after the other; what is neither number nor text nor holds
    any is left out.

    Args:
        value: arrays, tensors, numbers, texts; mappings, sequences and dataclasses of them.
        place: of the value itself.
    """
    if value is None:
        return
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, f"{place}.{key}".removeprefix("."))
    elif is_dataclass(value) and not isinstance(value, type):
        for one in fields(value):
            yield from leaves(getattr(value, one.name), f"{place}.{one.name}".removeprefix("."))
    elif isinstance(value, list | tuple):
        if value and all(isinstance(one, bool | int | float | np.number | None) for one in value):
            yield place, _plain(np.array([np.nan if one is None else one for one in value]))
        else:
            for inner in value:
                yield from leaves(inner, place)
    else:
        array = _array(value)
        if array is not None:
            yield place, array


def _array(value: Any) -> np.ndarray | None:
    if isinstance(value, bool | int | float | np.ndarray | np.generic):
        array = np.array(value)
        return _plain(array) if array.dtype.kind in "fiub" else None
    # A tensor; torch need not be imported to compare files.
    if hasattr(value, "detach") and hasattr(value, "is_floating_point"):
        tensor = value.detach().cpu()
        return _plain((tensor.double() if tensor.is_floating_point() else tensor).numpy().copy())
    return None


def _plain(array: np.ndarray) -> np.ndarray:
    return array.astype("<f8" if array.dtype.kind == "f" else "<i8")
