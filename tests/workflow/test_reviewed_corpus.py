"""What ``make demo`` trains on is what the reviewed numbers were measured on."""

import csv
import platform

import pytest
import seal

from dataflex.corpus.domains import DOMAINS
from dataflex.corpus.harvest import harvest
from dataflex.corpus.packages import version_of
from tests.workflow.test_workflow import ROOT


@pytest.mark.slow
def test_the_pinned_environment_gives_the_reviewed_text(tmp_path):
    """Whatever else is installed: else nobody's run of the demo could be held against the reference numbers."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    taken = {name for domain in DOMAINS for name in domain.distributions}
    others = sorted(name for name in taken & set(pins) if version_of(name) != pins[name])
    if others or platform.python_version_tuple()[:2] != ("3", "11"):
        pytest.skip(f"not Python 3.11 with the pinned versions; other ones: {', '.join(others) or 'none'}")
    card = harvest(tmp_path / "corpus", quiet=True)
    rows = list(csv.DictReader((ROOT / "reproductions/reference/demo.csv").read_text().splitlines()))
    reviewed = {row["corpus"] for row in rows if row["experiment"] in ("mixture", "selection", "weighting")}
    assert {seal.fingerprint(card)} == reviewed
