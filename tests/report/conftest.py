import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

for name in ("tests/evidence", "tests/report", "."):
    if str(ROOT / name) not in sys.path:
        sys.path.insert(0, str(ROOT / name))


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """A folder with results of every kind."""
    from everything import write_everything

    return write_everything(tmp_path_factory.mktemp("repository") / "results/demo")


@pytest.fixture(scope="session")
def parts(study):
    """Rungs and grids of the study."""
    from dataflex.report.rungs import read_grids, read_rung

    grids = read_grids(ROOT / "reproductions/demo.yaml")
    return [read_rung(study, grids, named=True)], grids + read_grids(ROOT / "reproductions/paper.yaml")


@pytest.fixture(scope="session")
def page(parts, tmp_path_factory):
    """The page, with judgements of every verdict."""
    from judged import judgements

    from dataflex.report.page import render

    rungs, grids = parts
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(render(rungs, grids, judgements(rungs[0].ids)), encoding="utf-8")
    return file
