"""Arrays instead of NumPy's files, for code that reads and writes some: files are not what is timed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np


@contextmanager
def arrays(given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Let ``np.load`` find the given arrays by name, and keep what ``np.save`` would have written."""
    kept: dict[str, Any] = {}
    with (
        mock.patch.object(np, "load", lambda name: given[str(name)]),
        mock.patch.object(np, "save", lambda name, values: kept.update({str(name): values})),
    ):
        yield kept
