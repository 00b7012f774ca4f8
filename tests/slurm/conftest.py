from collections.abc import Iterator
from pathlib import Path

import pytest

from .cluster import PACKAGES, Cluster, missing


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A fresh Slurm of two nodes, stopped at the end."""
    if absent := missing():
        pytest.skip(f"{', '.join(absent)} not found: apt-get install {' '.join(PACKAGES)}")
    made = Cluster(Path(tmp_path_factory.mktemp("slurm")))
    try:
        made.up()
        yield made
    finally:
        made.down()
