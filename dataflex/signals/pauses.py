"""What is done before each batch of a pass, such as looking whether the run has to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LOOKING: list[Callable[[], None]] = []


@contextmanager
def before_each_batch(look: Callable[[], None]) -> Iterator[None]:
    """Call a function before each batch of the passes in a block.

    All ranks call it equally often and in step with each other, so that it may be a collective operation. To
    end the pass it raises the same on all of them.
    """
    _LOOKING.append(look)
    try:
        yield
    finally:
        _LOOKING.remove(look)


def pause() -> None:
    """Do what is to be done before a batch."""
    for look in _LOOKING:
        look()
