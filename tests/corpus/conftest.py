from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dataflex.corpus.harvest import harvest

BUDGET = 60_000


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small corpus, harvested once for all tests; do not write into it."""
    output = tmp_path_factory.mktemp("harvested") / "corpus"
    harvest(output, bytes_per_domain=BUDGET, instructions_per_kind=20, quiet=True)
    yield output
    shutil.rmtree(output)
