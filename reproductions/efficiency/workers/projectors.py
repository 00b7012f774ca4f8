"""Which of trak's projectors a pass makes.

Both other implementations of LESS take the slow one without a word where the extension of the fast one
(fast_jl) is missing: their time is then that of a missing package.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock


@contextmanager
def projectors() -> Iterator[set[str]]:
    """Collect the names of the classes whose projectors are made meanwhile."""
    from trak.projectors import BasicProjector, CudaProjector

    seen: set[str] = set()
    kinds: tuple[Any, ...] = (BasicProjector, CudaProjector)
    with ExitStack() as stack:
        for kind in kinds:
            stack.enter_context(mock.patch.object(kind, "__init__", _noting(kind.__init__, seen)))
        yield seen


def _noting(original: Any, seen: set[str]) -> Any:
    def made(projector: Any, *args: Any, **kwargs: Any) -> None:
        seen.add(type(projector).__name__)
        original(projector, *args, **kwargs)

    return made
