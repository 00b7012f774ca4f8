import logging
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

for name in ("tests/evidence", "tests/workflow", "workflow/scripts", "workflow/plugins", "."):
    if str(ROOT / name) not in sys.path:
        sys.path.insert(0, str(ROOT / name))

# Behind the path, on which this checkout's plugins come first.
import snakemake_executor_plugin_slurm_cells as plugin  # noqa: E402

from tests.workflow.bench import Run, Workflow  # noqa: E402
from tests.workflow.fake_slurm import Site  # noqa: E402


@pytest.fixture
def site(tmp_path, monkeypatch):
    made = Site(tmp_path / "site").install()
    monkeypatch.setenv("PATH", f"{made.bin}{os.pathsep}{os.environ['PATH']}")
    folder = tmp_path / "repository"
    (folder / ".snakemake").mkdir(parents=True)
    monkeypatch.chdir(folder)
    return made


@pytest.fixture
def start(site):
    """Start the workflow, as often as one likes."""
    started = []

    def one(**settings):
        started.append(Run(Workflow(**settings), logging.getLogger("snakemake")))
        return started[-1]

    yield one
    for run in started:
        run.shutdown()


@pytest.fixture
def at_once(monkeypatch):
    """The next try comes without delay."""
    monkeypatch.setattr(plugin, "FIRST_DELAY", 0.0)
