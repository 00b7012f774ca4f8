"""A table in its three forms, each naming the results behind its rows."""

import csv
import io

import pytest

from paper_figures.latex import SPECIAL, escape
from paper_figures.table import Table
from tests.figures.latex_reader import problems

ROWS = [["a_b", "1 ± 2"], ["c & d", "50 %"], ["e", "≈ 3"]]


def table(**more):
    return Table("t", "A & B", ["m", "x"], ROWS, ["note"], **more)


def folded(markdown):
    lines = markdown.splitlines()
    return lines[lines.index("<details><summary>Result ids</summary>") + 2 : lines.index("</details>") - 1]


def test_markdown_lists_the_results_of_each_row_below_the_notes():
    text = table(results=[["1a", "2b"], ["3c"], ["3c"]]).markdown()
    assert folded(text) == ["- a_b: 1a, 2b", "- c & d to e (2 rows): 3c"]
    assert text.index("- note") < text.index("<details>")
    assert folded(table(results=[["1a"]] * 3).markdown()) == ["- every row: 1a"]
    assert folded(table(results=[["1a"], [], []]).markdown())[1] == "- c & d to e (2 rows): none"
    assert "details" not in table().markdown()


def test_a_row_of_ids_is_missing():
    with pytest.raises(ValueError, match="t: 3 rows, result ids of 2"):
        table(results=[["1a"], ["2b"]])


def test_the_csv_of_a_table_without_data_holds_the_cells_and_their_results():
    rows = list(csv.reader(io.StringIO(table(results=[["1a", "2b"], ["3c"], []]).csv())))
    assert rows == [
        ["m", "x", "results"],
        ["a_b", "1 ± 2", "1a 2b"],
        ["c & d", "50 %", "3c"],
        ["e", "≈ 3", ""],
    ]
    assert table(data_header=["v"], data=[[1.5]]).csv() == "v\n1.5\n"


def test_latex_names_the_results_in_comments():
    text = table(results=[["1a", "2b"], ["3c"], []]).latex()
    assert r"    a\_b & 1 $\pm$ 2 \\ % 1a 2b" in text.splitlines()
    assert r"    e & $\approx$ 3 \\" in text.splitlines()


@pytest.mark.parametrize("long", [False, True])
def test_latex_compiles_as_far_as_can_be_told(long):
    assert not problems(table(results=[["1a"]] * 3, long=long).latex())


def test_all_that_is_escaped_is_sound():
    assert not problems(escape("".join(SPECIAL)))
    assert escape('100 % of "a_b" < ±1') == r"100 \% of ''a\_b'' $<$ $\pm$1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (r"\begin{table}", "table is not ended"),
        (r"\textbf{a", "a brace is not closed"),
        ("a_b", "not escaped"),
        ("é", "not ASCII"),
        (r"$x", "a formula"),
        (r"\begin{tabular}{lr} a & b & c \\ \end{tabular}", "has not 2 cells"),
        (r"\begin{a}\begin{b}\end{a}\end{b}", "out of turn"),
    ],
)
def test_the_reader_of_latex_sees_what_is_wrong(text, said):
    assert any(said in problem for problem in problems(text))


def test_sentences_are_wrapped_in_a_long_table():
    made = Table("t", "c", ["a", "b"], [["a sentence of " + "many " * 8, "1"]], [], long=True)
    assert r"\begin{longtable}{p{0.3\linewidth}r}" in made.latex()
