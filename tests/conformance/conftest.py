from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .harness import Box, start_server


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokenised data, shared by all runs of the session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def _server() -> None:
    start_server()


@pytest.fixture
def box(_server: None, tmp_path: Path, tiny: Path, cache: Path) -> Callable[..., Box]:
    """Make a folder for a run of a configuration."""

    def make(name: str, config: dict[str, Any], ranks: int = 1) -> Box:
        return Box(tmp_path / name, config, cache, tiny / "model", ranks)

    return make
