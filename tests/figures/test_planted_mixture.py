import csv
import io

import numpy as np
import pytest
from results_factory import CHAINS, write_mixture
from scipy import stats

from dataflex.errors import UserError
from dataflex.evidence.results import read_results
from paper_figures.planted_mixture import planted_mixture, studies
from paper_figures.planted_mixture_figure import regrets_and_shares

REGRET = "Regret [95 % interval] ↓"
SHIFTS = {"static_easy": (0.10, 0.30, 0.20), "static_kin": (0.20, 0.15, 0.25), "natural": (0.30, 0.35, 0.45),
          "odm": (0.05, 0.15, 0.10)}  # fmt: skip


def study(root, seeds=(1, 2, 3), methods=tuple(SHIFTS), **more):
    for method in methods:
        for seed in seeds:
            excess = SHIFTS[method][seed - 1]
            write_mixture(root, method, seed, excess=excess, yardstick=method.startswith("static_"), **more)
    return read_results(root)


def cells(table, method):
    """The row of a method by column head."""
    return next(dict(zip(table.header, row, strict=True)) for row in table.rows if row[0] == method)


def test_regret_is_to_the_best_of_the_same_seed(tmp_path):
    table = planted_mixture(study(tmp_path))
    assert [row[0] for row in table.rows] == ["Natural (baseline)", "ODM", "Best static mixture"]
    # The best of each seed are 0.10, 0.15 and 0.20 above the entropy.
    values = [0.2, 0.2, 0.25]
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert cells(table, "Natural (baseline)")[REGRET] == f"{np.mean(values):.3f} [{low:.3f}, {high:.3f}]"
    assert cells(table, "ODM")[REGRET].startswith("-0.050 [")
    best = cells(table, "Best static mixture")
    assert (best[REGRET], best["Target loss ↓"], best["Seeds"]) == ("0 (the yardstick)", "1.150", "3")
    assert "Best in how many seeds: easy (2), kin (1)" in table.notes[-2]
    assert "Worse than the yardstick: Natural (baseline); better: none" in table.notes[-1]


def test_one_seed_has_no_interval(tmp_path):
    table = planted_mixture(study(tmp_path, seeds=(1,)))
    assert cells(table, "Natural (baseline)")[REGRET] == "0.200"
    assert table.notes[-1].startswith("One seed")


def test_without_a_yardstick_there_is_no_regret(tmp_path):
    table = planted_mixture(study(tmp_path, methods=("natural",)))
    assert [(row[0], row[2]) for row in table.rows] == [("Natural (baseline)", "-")]
    assert "no regret" in table.notes[-1]
    regrets_and_shares(read_results(tmp_path))


def test_a_yardstick_with_a_hole_is_refused(tmp_path):
    study(tmp_path, seeds=(1, 2), methods=("natural", "static_easy"))
    write_mixture(tmp_path, "static_kin", 1, yardstick=True)
    with pytest.raises(UserError, match="static_kin lacks seed 2"):
        studies(read_results(tmp_path))


def test_models_are_measured_by_their_own_yardstick(tmp_path):
    study(tmp_path, methods=("natural", "static_easy"))
    for seed in (1, 2, 3):
        write_mixture(tmp_path, "natural", seed, model="wide", excess=0.5)
        write_mixture(tmp_path, "static_kin", seed, model="wide", excess=0.1, yardstick=True)
    table = planted_mixture(read_results(tmp_path))
    assert cells(table, "Natural (baseline), wide, chains")[REGRET].startswith("0.400 ")
    assert [row[0] for row in table.rows].count("Best static mixture, chain, chains") == 1


def test_excess_and_noise_are_shown(tmp_path):
    weights = [{"noise": 1, "easy": 1, "kin": 2}, {"noise": 0, "easy": 1, "kin": 1}]
    write_mixture(tmp_path, "doremi_proxy", 1, excess=0.25, weights=weights, shares=(0.2, 0.4, 0.4))
    write_mixture(tmp_path, "static_kin", 1, excess=0.125, yardstick=True)
    table = planted_mixture(read_results(tmp_path))
    row = cells(table, "DoReMi, proxy")
    assert [row[f"excess: {name}"] for name in CHAINS] == ["0.250"] * 3
    assert (row["Noise: share"], row["Noise: weight"]) == ("0.20 → 0.20", "0.12 → 0.00")
    assert cells(table, "Best static mixture")["Noise: weight"] == "-"
    assert "within one packed row" in table.notes[3]


def test_shares_that_are_off_are_said_to_be(tmp_path):
    write_mixture(tmp_path, "natural", 1, shares=(0.53, 0.27, 0.2))
    table = planted_mixture(read_results(tmp_path))
    assert cells(table, "Natural (baseline)")["Rows off"] == "0.80"
    folder = write_mixture(tmp_path, "uniform", 1)
    text = (folder / "mixture.json").read_text()
    (folder / "mixture.json").write_text(text.replace('"rows_off": 0.0', '"rows_off": 1.5'))
    assert "NOT within one packed row" in planted_mixture(read_results(tmp_path)).notes[3]


def test_the_csv_holds_every_number(tmp_path):
    results = study(tmp_path)
    found = list(csv.DictReader(io.StringIO(planted_mixture(results).csv())))
    for result in results:
        own = {
            row["metric"]: float(row["value"])
            for row in found
            if (row["method"], int(row["seed"])) == (result.key[1], result.seed)
        }
        assert {name: own[name] for name in result.numbers()} == result.numbers()
        assert own["excess.kin"] == result.metrics["excess"]["kin"]
    regrets = {
        (row["method"], row["seed"]): float(row["value"]) for row in found if row["metric"] == "regret"
    }
    assert len(regrets) == len(results)
    assert regrets["static_kin", "2"] == 0
    assert regrets["natural", "3"] == pytest.approx(0.25)


def test_the_figure_has_a_point_and_a_panel_for_each_method(tmp_path):
    figure = regrets_and_shares(study(tmp_path))
    top, *panels = figure.axes
    assert [text.get_text() for text in top.get_yticklabels()] == ["Natural (baseline)", "ODM"]
    points = [line for line in top.lines if line.get_marker() == "o"]
    assert points[0].get_xdata() == pytest.approx([0.2, 0.2, 0.25])
    shown = [axes for axes in panels if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == ["Natural (baseline)", "ODM"]
    assert all(len(axes.lines) == len(CHAINS) for axes in shown)
