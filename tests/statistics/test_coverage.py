"""Every interval holds the truth as often as it says, and as often as the documents say."""

import re
from pathlib import Path

import pytest

from tests.statistics.simulate import LEVEL, LIMIT, Case, cases

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/statistics.md"
CASES = cases()


def documented() -> dict[str, float]:
    rows = re.findall(r"^(\| `.*\|) ([\d.]+) \|$", DOCUMENT.read_text(), re.MULTILINE)
    return {start: float(value) for start, value in rows}


def start(case: Case) -> str:
    return case.row(0.0).removesuffix(" 0.0 |")


def test_the_document_has_every_case_once() -> None:
    assert list(documented()) == [start(case) for case in CASES]


def test_what_the_document_says_is_near_to_the_level() -> None:
    assert [row for row, value in documented().items() if abs(value - 100 * LEVEL) > 100 * LIMIT] == []


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.interval}, {case.design}")
def test_coverage(case: Case) -> None:
    # Another platform may round an end of a few intervals to the other side.
    assert 100 * case.coverage() == pytest.approx(documented()[start(case)], abs=0.16)
