"""The table of what each domain was given, against shares counted by hand."""

import csv
import io

from results_factory import edit_json, write_cell

from dataflex.evidence.results import read_results
from paper_figures.mixture_weights import mixture_weights


def write_shares(folder, lines):
    (folder / "shares.csv").write_text("\n".join(["step,domain,tokens,asked,weight", *lines]) + "\n")


def made(root):
    return mixture_weights(read_results(root))


def test_a_method_that_moves_has_its_mean_and_its_end(tmp_path):
    write_cell(tmp_path, method="natural", shares={"code": 0.25, "prose": 0.75})
    # 300 of 400 tokens for code at first, 100 of 600 then: 40 % of all, a sixth at the end.
    lines = ["20,code,290,300.0,", "20,prose,110,100.0,", "40,code,110,100.0,", "40,prose,490,500.0,"]
    write_shares(write_cell(tmp_path, method="odm"), lines)
    table = made(tmp_path)
    assert table.header == ["Method", "code", "prose", "Seeds"]
    assert [list(row) for row in table.rows] == [
        ["Natural (baseline): asked for", "25.0", "75.0", "1"],
        ["ODM: mean of the run", "40.0", "60.0", "1"],
        ["ODM: at its end", "16.7", "83.3", "1"],
    ]
    data = {
        (row["method"], row["metric"]): float(row["value"])
        for row in csv.DictReader(io.StringIO(table.csv()))
    }
    assert data["odm", "asked_last.code"] == 1 / 6
    assert len({tuple(ids) for ids in table.results}) == 2


def test_what_was_learned_for_another_run_counts_and_not_what_was_asked_for(tmp_path):
    folder = write_cell(tmp_path, method="doremi_proxy", shares={"code": 0.5, "prose": 0.5})
    learned = {"code": 0.125, "prose": 0.875}
    edit_json(folder / "run.json", lambda content: content["manifest"].update(learned_proportions=learned))
    assert [list(row) for row in made(tmp_path).rows] == [["DoReMi, proxy: learned", "12.5", "87.5", "1"]]


def test_the_papers_weights_stand_above_where_the_domains_are_the_papers(tmp_path):
    write_cell(tmp_path, shares={"RedPajamaCommonCrawl": 0.5, "RedPajamaWikipedia": 0.5})
    table = made(tmp_path)
    assert table.header == ["Method", "CC", "Wiki", "Seeds"]
    assert [list(row) for row in table.rows] == [
        ["Paper: natural", "54.1", "3.1", "-"],
        ["Paper: DoReMi, learned", "34.1", "not published", "-"],
        ["Natural (baseline): asked for", "50.0", "50.0", "1"],
    ]
    assert [len(ids) for ids in table.results] == [0, 0, 1]


def test_of_other_domains_the_papers_weights_are_a_note(tmp_path):
    write_cell(tmp_path, shares={"code": 0.5, "prose": 0.5})
    assert "natural CC 54.1, C4 28.7" in made(tmp_path).notes[-1]
    assert "DoReMi, learned CC 34.1, C4 33.6" in made(tmp_path).notes[-1]


def test_runs_that_mixed_nothing_have_no_table(tmp_path):
    write_cell(tmp_path)
    assert made(tmp_path) is None
