"""A change of one per cent in a method's formula is seen, also on another machine than the recorded one.

Each mutant is a real one: an expression of the method's own source, or of the pure functions that it calls, is
multiplied by 1.01 in a real training. It has to break the tolerance that other platforms get; bits alone don't
count. A mutant without any effect is no change, and another one is taken for it: when every bit of the run is as
before, or when even twice the value moves nothing but roundings, as of an expression divided by its own sum.
"""

import textwrap
from collections import Counter
from collections.abc import Iterator

import pytest

from dataflex.golden.cases import Case, every_case

from .mutations import Fate, fates

TOMORROW = Case("mix", "tomorrow")
SOURCE = """
import numpy as np

from dataflex.engine.component import Mixer, Mixture


class Tomorrow(Mixer):
    \"\"\"Rising shares.\"\"\"

    def update(self, context):
        count = len(context.facts.domains)
        odds = np.exp(0.25 * np.arange(count))
        return Mixture(odds / odds.sum())
"""


@pytest.fixture(scope="module")
def _tomorrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A component that is installed and of which nothing is recorded."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "tomorrow.py").write_text(textwrap.dedent(SOURCE))
    about = folder / "tomorrow-0.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: tomorrow\nVersion: 0.1\n")
    (about / "entry_points.txt").write_text("[dataflex.components]\ntomorrow = tomorrow:Tomorrow\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        assert TOMORROW in every_case()
        yield


@pytest.fixture(scope="module")
def mutants(_tomorrow: None) -> list[Fate]:
    return fates(every_case(), sample=1)


EVERY = [*every_case(), TOMORROW]


@pytest.mark.parametrize("case", EVERY, ids=[case.label for case in EVERY])
def test_one_per_cent_is_seen(case: Case, mutants: list[Fate]) -> None:
    own = [fate for fate in mutants if fate.label == case.label]
    assert [fate for fate in own if fate.verdict == "changed"] == []
    verdicts = Counter(fate.verdict for fate in own)
    assert verdicts["unchanged"] == 1
    assert verdicts["killed"] >= 1, own
    assert verdicts["survived"] == 0, own


@pytest.mark.mutation
@pytest.mark.parametrize("case", every_case(), ids=[case.label for case in every_case()])
def test_every_change_is_seen(case: Case) -> None:
    """All mutants of the method's own modules; those of the functions that it calls are told."""

    def told(fate: Fate) -> None:
        first = fate.findings[0] if fate.findings else {}
        off = (
            [first.get(key) for key in ("quantity", "value", "expected", "tolerance")]
            if first
            else fate.error
        )
        print(f"{fate.label} {fate.verdict}: {fate.point} {off}", flush=True)

    found = fates([case], sample=None, told=told)
    print(f"{case.label}: {dict(Counter(fate.verdict for fate in found))}", flush=True)
    shared = {fate.module for fate in found if fate.module.startswith("dataflex.signals")}
    assert [fate for fate in found if fate.verdict == "survived" and fate.module not in shared] == []
    assert any(fate.verdict == "killed" for fate in found)
