"""Keeping quiet what LLaMA-Factory says while it prepares a training, where none is prepared."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

_VERBOSITY = "LLAMAFACTORY_VERBOSITY"


@contextmanager
def host_silenced() -> Iterator[None]:
    """Keep LLaMA-Factory's logs and the examples that it prints off the screen for a block.

    Errors still come through, and so do bars, which are written to standard error. Whoever has set
    LLAMAFACTORY_VERBOSITY wants to see what it says, and does.
    """
    # Before standard output is taken away: the logger keeps the one of its first use for good.
    from llamafactory.extras.logging import get_logger

    if _VERBOSITY in os.environ:
        yield
        return
    logger = get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    # Below WARN it would also make transformers tell which files it loads.
    os.environ[_VERBOSITY] = "ERROR"
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        del os.environ[_VERBOSITY]
        logger.setLevel(level)
