"""The table of verdicts, from judgements made here."""

import csv
import io

from dataflex.evidence.claims.judgement import MEANINGS, VERDICTS, Judgement
from dataflex.evidence.claims.registry import Claim
from paper_figures.verdicts import verdicts
from tests.figures.latex_reader import problems


def claim(kind="difference", published=0.57, margin=0.5, unit="points", methods=("DoReMi", "Baseline")):
    return Claim(f"t/{kind}", kind, "DoReMi answers more questions than the baseline.", "data_mixture", methods,
                 "MMLU", unit, published, margin, "readme", "high", "2026-11-22")  # fmt: skip


def test_published_ours_interval_effect_and_verdict_stand_side_by_side():
    one = Judgement(claim(), "demo", "underpowered", "Too few seeds.", -1.3, (-4.7, 2.1), 3.94, 0.41,
                    (1, 2, 3), 165, ("ab" * 32,))  # fmt: skip
    table = verdicts([one], "verdicts", "Claims")
    assert dict(zip(table.header, table.rows[0], strict=True)) == {
        "Claim": "DoReMi answers more questions than the baseline.",
        "Published": "+0.57 ± 0.50 points",
        "Ours": "-1.30",
        "95 % interval": "[-4.70, +2.10]",
        "Smallest detectable": "3.94",
        "Seeds": "3",
        "Verdict": "underpowered",
    }
    assert table.results == [["abababababab"]]
    assert table.notes[0] == "Of 1 claims: 1 underpowered."
    (row,) = csv.DictReader(io.StringIO(table.csv()))
    assert (row["low"], row["high"], row["p_value"], row["reason"]) == (
        "-4.7",
        "2.1",
        "0.41",
        "Too few seeds.",
    )
    assert row["results"] == "ab" * 32


def test_what_is_not_known_is_not_shown_as_a_number():
    ordering = claim("ordering", None, None, methods=("ODM", "DoReMi"))
    table = verdicts([Judgement(ordering, "demo", "not-run", "Nothing.")], "verdicts", "Claims")
    assert list(table.rows[0][1:]) == ["ODM > DoReMi", "-", "-", "-", "-", "not-run"]
    (row,) = csv.DictReader(io.StringIO(table.csv()))
    assert row["ours"] == row["low"] == row["p_value"] == row["questions"] == ""


def test_a_value_has_no_sign_and_other_units_have_three_digits():
    value = claim("value", 4.214, None, "byte perplexity", ("DoReMi",))
    table = verdicts([Judgement(value, "demo", "consistent", "Fits.", 4.2, (4.1, 4.3))], "verdicts", "Claims")
    assert list(table.rows[0][1:4]) == ["4.214 byte perplexity", "4.200", "[4.100, 4.300]"]


def test_only_verdicts_that_occur_are_explained_in_their_order():
    made = [Judgement(claim(), "demo", verdict, "Because.") for verdict in reversed(VERDICTS)]
    table = verdicts(made, "verdicts", "Claims")
    assert [row[-1] for row in table.rows] == list(reversed(VERDICTS))
    places = [table.notes[1].lower().index(f"{verdict}: {MEANINGS[verdict]}".lower()) for verdict in VERDICTS]
    assert places == sorted(places)
    assert MEANINGS["reproduced"] not in verdicts(made[:1], "verdicts", "Claims").notes[1]


def test_rungs_are_named_where_there_are_several_and_latex_is_sound():
    made = [Judgement(claim(), rung, "not-run", "Nothing.") for rung in ("demo", "paper")]
    assert verdicts(made, "verdicts", "Claims").rows[1][0].startswith("paper: ")
    for count in (1, 20):
        assert not problems(verdicts(made * count, "verdicts", "Claims").latex())
    assert verdicts([], "verdicts", "Claims").notes[0] == "No claim was judged."
