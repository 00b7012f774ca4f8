import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .cluster import PACKAGES, Cluster, missing


def skip(reason: str) -> None:
    """Skip a test; where ``DATAFLEX_NO_SKIPS`` is set, what can't be tested has failed."""
    if os.environ.get("DATAFLEX_NO_SKIPS"):
        pytest.fail(f"{reason} (DATAFLEX_NO_SKIPS is set)")
    pytest.skip(reason)


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A fresh Slurm of two nodes, stopped at the end."""
    if absent := missing():
        skip(f"{', '.join(absent)} not found: apt-get install {' '.join(PACKAGES)}")
    made = Cluster(Path(tmp_path_factory.mktemp("slurm")))
    try:
        made.up()
        yield made
    finally:
        made.down()
