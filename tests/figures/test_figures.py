import csv
import hashlib
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import scipy.stats
from results_factory import edit_json, write_cell, write_mixture, write_picks, write_steps, write_study

from dataflex.evidence.results import read_results
from paper_figures.__main__ import make
from paper_figures.figures import learning_curves
from paper_figures.latex import escape
from paper_figures.layout import domains_in_order, ordered
from paper_figures.mixture import mixture
from paper_figures.models import spread
from paper_figures.style import save
from paper_figures.table import Table
from paper_figures.tables import build

ROOT = Path(__file__).resolve().parent.parent.parent


def hashes(folder):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


def test_half_a_cell_keeps_no_other_from_tables_and_figures(tmp_path, capsys):
    """What is made of a run that goes on is what the finished cells alone give."""
    for name in ("going", "done"):
        write_study(tmp_path / name, seeds=(1,))
    half = tmp_path / "going/selection/loss.tiny.harvest.seed1"
    (half / "metrics.json").unlink()
    shutil.rmtree(tmp_path / "done/selection/loss.tiny.harvest.seed1")
    for what in ("tables", "figures"):
        for name in ("going", "done"):
            make(what, tmp_path / name, tmp_path / f"{name}-{what}")
        told = capsys.readouterr().err
        assert told.count("\n") == 1
        assert "1 cell is not finished and left out: selection/loss.tiny.harvest.seed1 " in told
        assert hashes(tmp_path / f"going-{what}") == hashes(tmp_path / f"done-{what}")


def test_tables_and_figures_are_the_same_bytes_in_another_process(tmp_path):
    write_study(tmp_path / "results")
    write_steps(next((tmp_path / "results").glob("selection/full*")), [0.25, 0.5])
    write_cell(tmp_path / "results", method="odm", shares={"code": 0.75, "prose": 0.25})
    for method, precision in (("random", 0.5), ("less", 0.9)):
        write_picks(tmp_path / "results", method, 1, precision)
    for method, excess in (("natural", 0.3), ("static_easy", 0.2)):
        write_mixture(tmp_path / "results", method, excess=excess, yardstick=method.startswith("static"))
    made = []
    for turn in ("first", "second"):
        for what in ("tables", "figures"):
            subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "paper_figures",
                    what,
                    tmp_path / "results",
                    "--output",
                    tmp_path / turn,
                ],
                cwd=ROOT,
                check=True,
            )
        made.append(hashes(tmp_path / turn))
    assert made[0] == made[1]
    assert set(made[0]) == {
        *(
            f"{name}.{kind}"
            for name in (
                *("selection", "mixture", "mixture_weights", "planted"),
                *("planted_mixture", "results"),
            )
            for kind in ("md", "csv", "tex")
        ),
        *(
            f"{name}.{kind}"
            for name in (
                "accuracy_by_step",
                "learning_curves",
                "mixture_weights",
                "planted",
                "planted_mixture",
            )
            for kind in ("svg", "pdf", "png")
        ),
    }


def test_a_changed_number_changes_the_bytes(tmp_path):
    folder = write_study(tmp_path / "results") / "mixture/natural.tiny.harvest.seed1"
    save(learning_curves(read_results(tmp_path / "results")), tmp_path / "first", "curves")
    lines = (folder / "curve.csv").read_text().splitlines()
    (folder / "curve.csv").write_text("\n".join([*lines[:-1], "40,4000,1.0"]) + "\n")
    save(learning_curves(read_results(tmp_path / "results")), tmp_path / "second", "curves")
    first, second = hashes(tmp_path / "first"), hashes(tmp_path / "second")
    assert all(first[name] != second[name] for name in first)


def test_csv_holds_every_number_unrounded(tmp_path):
    results = read_results(write_study(tmp_path, seeds=(1, 2)))
    table = mixture([result for result in results if result.key[0] == "mixture"])
    rows = list(csv.DictReader(io.StringIO(table.csv())))
    for result in results[:2]:
        found = [
            float(row["value"])
            for row in rows
            if (row["method"], row["seed"], row["metric"])
            == (result.key[1], str(result.seed), "mmlu.answer_nll")
        ]
        assert found == [result.metrics["mmlu"]["answer_nll"]]


def test_the_mixture_table_has_the_papers_columns(tmp_path):
    table = build(read_results(write_study(tmp_path)))[1]
    assert list(table.header) == ["Method", "MMLU acc (%) ↑", "Answer loss ↓", "ALL ↓", "code ↓", "prose ↓"]
    assert [row[0] for row in table.rows] == ["Natural (baseline): PPL", "Uniform: PPL", "Uniform: change"]


def test_mixtures_of_a_model_with_experts_have_a_table_of_their_own(tmp_path):
    write_study(tmp_path)
    for method in ("dynamic_moe", "natural"):
        write_cell(tmp_path, "mixture_moe", method, model="tiny_moe")
    tables = {table.name: table for table in build(read_results(tmp_path))}
    assert [row[0] for row in tables["mixture_moe"].rows] == [
        "Natural (baseline): PPL",
        "Load of experts: PPL",
        "Load of experts: change",
    ]
    assert tables["mixture"].caption != tables["mixture_moe"].caption
    assert not any("experts" in row[0] for row in tables["mixture"].rows)
    assert {row[0] for row in tables["mixture"].data} == {"mixture"}


def test_the_selection_table_starts_with_the_model_before_tuning(tmp_path):
    table = build(read_results(write_study(tmp_path)))[0]
    assert [row[0] for row in table.rows] == [
        "Before fine-tuning",
        "Full data",
        "Random",
        "Loss",
        "Weights of one",
        "Weights: linupper",
    ]
    assert all(row[-1] == "3" for row in table.rows)


def test_a_start_that_another_version_made_is_not_shown(tmp_path):
    write_study(tmp_path)
    for file in tmp_path.glob("mixture/*/run.json"):
        edit_json(file, lambda content: content["manifest"].update(commit="another"))
    assert build(read_results(tmp_path))[0].rows[0][0] == "Full data"


def test_spread_is_the_mean_and_half_of_its_interval():
    values = [0.25, 0.27, 0.29]
    low, high = scipy.stats.t.interval(0.95, 2, 0.27, scipy.stats.sem(values))
    assert spread(values, 3, 100) == f"27.000 ± {50 * (high - low):.3f}"
    assert spread([0.256], 2) == "0.26"


def test_chance_is_that_of_the_letters_which_were_chosen(tmp_path):
    """One rule tells chance in tables, verdicts and citations: a favourite letter is no knowledge."""
    folder = write_cell(tmp_path, questions=100)
    rows = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]

    def answered(choice):
        made = [{**row, "gold": int(at >= 40), "choice": choice(at), "correct": choice(at) == int(at >= 40)}
                for at, row in enumerate(rows)]  # fmt: skip
        (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
        acc = sum(row["correct"] for row in made) / len(made)
        edit_json(folder / "metrics.json", lambda content: content["mmlu"].update(acc=acc))
        return mixture(read_results(tmp_path))

    # Sixty of a hundred answers are the second letter: always that one is right as often.
    table = answered(lambda at: 1)
    assert table.rows[0][1] == "60.00 ≈"
    assert "1 of 1 rows (marked ≈) lie within two standard errors" in table.notes[0]
    assert "these 100 questions" in table.notes[0]
    assert table.notes[-1].startswith("One seed (1)")
    # With letters chosen 45 and 55 times, 51 right answers of a hundred would be luck.
    table = answered(lambda at: int(at >= 40) if at % 4 else 1 - int(at >= 40))
    assert table.rows[0][1] == "75.00"
    assert "Every row lies more than two standard errors from that" in table.notes[0]


def test_domains_are_in_the_papers_order():
    names = ["RedPajamaBook", "all", "RedPajamaC4", "RedPajamaCommonCrawl"]
    assert domains_in_order(names) == ["RedPajamaCommonCrawl", "RedPajamaC4", "RedPajamaBook"]
    assert ordered(["zeta", "odm", "natural", "alpha"], ("natural", "odm")) == [
        "natural",
        "odm",
        "alpha",
        "zeta",
    ]


def test_latex_is_escaped():
    assert escape("50 % of a_b ± 1") == r"50 \% of a\_b $\pm$ 1"
    table = Table("t", "A & B", ["m", "x"], [["a_b", "1 ± 2"]], ["note"], ["x"], [[1]])
    assert r"a\_b & 1 $\pm$ 2 \\" in table.latex()
    assert table.markdown().splitlines()[2:5] == ["| m   |     x |", "| --- | ----: |", "| a_b | 1 ± 2 |"]
