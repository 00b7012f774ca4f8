import csv
import io

import matplotlib.colors
import pytest
from results_factory import write_picks
from scipy import stats

from dataflex.evidence.results import read_results
from paper_figures.planted import marked, planted
from paper_figures.planted_figure import FILLS, picked_classes


def study(root, seeds=(1,), **precisions):
    """Results of some methods; a list gives one precision a seed."""
    for method, values in precisions.items():
        for place, seed in enumerate(seeds):
            write_picks(root, method, seed, values[place] if isinstance(values, list) else values)
    return read_results(root)


def cells(table, method):
    """The row of a method by column head."""
    return next(dict(zip(table.header, row, strict=True)) for row in table.rows if row[0] == method)


def test_one_seed_has_an_interval_over_rows(tmp_path):
    table = planted(study(tmp_path, random=0.5, less=0.9))
    low, high = stats.binomtest(18, 20).proportion_ci(0.95, method="wilson")
    row = cells(table, "LESS")
    assert row["Precision at n [95 % interval] ↑"] == f"0.90 [{low:.2f}, {high:.2f}] †"
    assert (row["Should pick"], row["Random"], row["Seeds"]) == ("relevant, duplicated", "0.50", "1")
    assert float(row["relevant"]) + float(row["duplicated"]) == pytest.approx(0.9)
    assert [row[0] for row in table.rows] == ["Random", "LESS"]


def test_several_seeds_have_an_interval_over_seeds(tmp_path):
    values = [0.8, 0.9, 1.0]
    table = planted(study(tmp_path, (1, 2, 3), less=values))
    low, high = stats.t.interval(0.95, 2, 0.9, stats.sem(values))
    assert cells(table, "LESS")["Precision at n [95 % interval] ↑"] == f"0.90 [{low:.2f}, {min(high, 1):.2f}]"


def test_seeds_that_all_agree_are_not_certain(tmp_path):
    (method,) = marked(study(tmp_path, (1, 2, 3), less=1.0))
    assert method.by_rows
    assert method.interval == pytest.approx(stats.binomtest(60, 60).proportion_ci(0.95, method="wilson"))


def test_a_method_that_equals_random_is_named(tmp_path):
    table = planted(study(tmp_path, random=0.5, less=1.0, near=0.55))
    assert cells(table, "LESS")["Differs?"] == "yes (p < 0.001)"
    assert cells(table, "NEAR")["Differs?"].startswith("no (p = ")
    assert cells(table, "Random")["Differs?"] == "the control"
    assert table.notes[-1].endswith("Not told from random picking: NEAR.")
    alone = planted(study(tmp_path / "alone", less=1.0))
    assert alone.notes[-1].endswith("Every method differs from random picking.")


def test_worse_than_random_differs_too(tmp_path):
    assert cells(planted(study(tmp_path, less=0.0)), "LESS")["Differs?"] == "yes (p < 0.001)"


def test_p_values_are_adjusted_for_the_number_of_methods(tmp_path):
    results = study(tmp_path, random=0.5, less=0.8, near=0.8, tsds=0.8)
    alone = marked(results)[1].p_value
    assert cells(planted(results), "LESS")["Differs?"].endswith(f"(p = {3 * alone:.3f})")


def test_the_csv_holds_every_number(tmp_path):
    results = study(tmp_path, random=0.5, less=0.9)
    found = list(csv.DictReader(io.StringIO(planted(results).csv())))
    less = {row["metric"]: float(row["value"]) for row in found if row["method"] == "less"}
    assert less.pop("base_rate") == 0.5
    assert less == results[0].numbers()


def test_bars_add_up_and_the_target_comes_first(tmp_path):
    figure = picked_classes(study(tmp_path, random=0.5, less=0.9))
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["Random", "LESS"]
    bars = [patch for patch in axes.patches if round(patch.get_y() + patch.get_height() / 2) == 1]
    filled = [patch for patch in bars if patch.get_facecolor()[3] > 0]
    (frame,) = [patch for patch in bars if patch.get_facecolor()[3] == 0]
    assert sum(patch.get_width() for patch in filled) == pytest.approx(1)
    assert frame.get_width() == pytest.approx(0.9)
    first = matplotlib.colors.to_hex(filled[0].get_facecolor()).upper()
    assert first == FILLS["relevant"][0]
