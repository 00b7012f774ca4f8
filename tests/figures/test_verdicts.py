"""The table of verdicts, from judgements made here."""

import csv
import io
from dataclasses import replace

from dataflex.evidence.claims.judgement import Judgement
from dataflex.evidence.claims.registry import Claim, load
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
        "Published": "+0.57 points",
        "Margin": "± 0.5",
        "Ours": "-1.30",
        "95 % interval": "[-4.70, +2.10]",
        "Detectable": "3.94",
        "Seeds": "3",
        "Verdict": "underpowered",
        "Why": "a",
    }
    assert table.results == [["abababababab"]]
    assert table.notes[:2] == ["Of 1 claims: 1 underpowered.", "Underpowered: (a) Too few seeds."]
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
    assert list(table.rows[0][1:]) == ["ODM > DoReMi", "-", "-", "-", "-", "-", "not-run", "a"]
    (row,) = csv.DictReader(io.StringIO(table.csv()))
    assert row["ours"] == row["low"] == row["p_value"] == row["questions"] == ""


def test_a_value_has_no_sign_and_other_units_have_three_digits():
    value = claim("value", 4.214, None, "byte perplexity", ("DoReMi",))
    table = verdicts([Judgement(value, "demo", "consistent", "Fits.", 4.2, (4.1, 4.3))], "verdicts", "Claims")
    assert list(table.rows[0][1:5]) == ["4.214 byte perplexity", "-", "4.200", "[4.100, 4.300]"]


def test_every_reason_has_its_letter_and_stands_with_its_verdict():
    made = [
        Judgement(claim(), "demo", verdict, reason)
        for verdict, reason in (
            ("not-run", "DoReMi, Baseline were not run"),
            ("underpowered", "both accuracies are luck"),
            ("reproduced", "equivalent within .5"),
            ("underpowered", "too small to be seen"),
            ("underpowered", "both accuracies are luck"),
            ("not-run", "DoReMi, Baseline: the two have no seed in common"),
        )
    ]
    table = verdicts(made, "verdicts", "Claims")
    assert [row[-1] for row in table.rows] == ["d", "b", "a", "c", "b", "e"]
    assert table.notes[1:4] == [
        "Reproduced: (a) equivalent within .5.",
        "Underpowered: (b) both accuracies are luck; (c) too small to be seen.",
        "Not-run: (d) nothing of it was run; (e) the two have no seed in common.",
    ]
    for text in (table.markdown(), table.latex()):
        assert "could not have been seen" not in text


def test_letters_go_on_after_z():
    made = [Judgement(claim(), "demo", "not-run", f"Reason {number}") for number in range(53)]
    found = [row[-1] for row in verdicts(made, "verdicts", "Claims").rows]
    assert [found[at] for at in (0, 25, 26, 51, 52)] == ["a", "z", "aa", "az", "ba"]


def test_an_ordering_shows_its_tiers():
    ordering = replace(
        claim("ordering", None, None, methods=("A", "B", "C", "D")), tiers=(("A",), ("B", "C"), ("D",))
    )
    table = verdicts([Judgement(ordering, "demo", "not-run", "Nothing.")], "verdicts", "Claims")
    assert table.rows[0][1] == "A > {B, C} > D"
    assert "nothing is claimed of those in braces" in table.notes[-1]
    assert not problems(table.latex())


def test_published_numbers_have_the_digits_that_were_published():
    """The registered claims: 39.4 % is .394, 40.0 % is .400, 26.04 - 25.27 is .77."""
    found = {one.id: one for one in load().claims}
    table = verdicts(
        [Judgement(one, "paper", "not-run", "x") for one in found.values()], "verdicts", "Claims"
    )
    shown = dict(zip(found, table.rows, strict=True))
    written = dict(zip(found, csv.DictReader(io.StringIO(table.csv())), strict=True))
    llm = "data_selection/Mistral-7B-v0.1/OpenHermes-2.5 100k"
    mix = "data_mixture/Qwen2.5-1.5B/SlimPajama-6B"
    full, acc = "Full-data (static baseline)", "MMLU acc (final)"
    timed = "value/efficiency_less/NOT STATED/sample ratio 0.05/DataFlex/Time (s)"
    for name, published, margin, number in (
        (f"value/{llm}/{full}/{acc}", "39.4 %", "± 1.5", "39.4"),
        (f"value/{llm}/Loss/{acc}", "40.0 %", "± 1.5", "40.0"),
        (f"difference/{llm}/Random - {full}/{acc}", "-0.1 points", "± 1.5", "-0.1"),
        (f"difference/{mix}/ODM - Baseline/MMLU", "+0.77 points", "± 1.5", "0.77"),
        (f"value/{mix}/Baseline/PPL_GitHub", "2.640 perplexity", "± 0.1", "2.64"),
        (f"difference/{mix}/DoReMi - Baseline/PPL_ALL", "-0.0287 bits", "± 0.02", "-0.0287"),
        (timed, "1579 s", "± 1000", "1579.0"),
    ):
        assert list(shown[name][1:3]) == [published, margin], name
        assert written[name]["published"] == number


def test_rungs_are_named_where_there_are_several_and_latex_is_sound():
    made = [Judgement(claim(), rung, "not-run", "Nothing.") for rung in ("demo", "paper")]
    assert verdicts(made, "verdicts", "Claims").rows[1][0].startswith("paper: ")
    for count in (1, 20):
        assert not problems(verdicts(made * count, "verdicts", "Claims").latex())
    assert verdicts([], "verdicts", "Claims").notes[0] == "No claim was judged."
