"""The paper's table and figure of efficiency, from files of benchmarks that are written here."""

import json
from pathlib import Path

import pytest

from paper_figures.efficiency.paper_table import paper_table
from paper_figures.efficiency.results import Results, Spread
from paper_figures.efficiency.tsds_figure import saving, tsds_figure


def write(path: Path, benchmark: str, about: dict, runs: list, gpu: str | None = None) -> Results:
    """``runs``: side, variant, case, seconds."""
    environment = {
        "processor": "p",
        "cores": 1,
        "gpu": gpu,
        "threads": 1,
        "memory_gib": 1,
        "python": "3",
        "packages": {},
    }
    content = {
        "benchmark": benchmark,
        "about": about,
        "environments": {"library": environment},
        "failures": [],
        "memory": [],
        "runs": [
            {
                "side": side,
                "variant": variant,
                "case": case,
                "round": 0,
                "seconds": seconds,
                "cpu_seconds": seconds,
            }
            for side, variant, case, seconds in runs
        ],
    }
    path.write_text(json.dumps(content))
    return Results(path)


def shown(table):
    """Rows by ratio and GPUs: the paper's cells, ours, and the ids behind them."""
    return {
        (row[1], row[2]): (list(row[3:8]), list(row[8:]), list(ids))
        for row, ids in zip(table.rows, table.results, strict=True)
    }


def test_what_was_not_run_stands_beside_what_was_published(tmp_path):
    one = write(tmp_path / "less-a.json", "less", {"model": "a", "rows": 8},
                [("library", "exact", {"share": 0.05}, 3.0)])  # fmt: skip
    table = paper_table([one])
    rows = shown(table)
    assert list(rows) == [("0.05", "1"), ("0.10", "1"), ("0.50", "1"), ("1.00", "1"), ("1.00", "8")]
    paper, here, ids = rows["0.05", "1"]
    assert paper == ["1,640", "34.91", "1,579", "38.35", "3.72 %"]
    assert here == ["not run", "not run", "3.00 (n=1)", "not run"]
    assert ids == list(one.ids)
    assert rows["1.00", "8"] == (["30,239", "40.38", "12,965", "43.01", "57.13 %"], ["not run"] * 4, [])
    assert table.rows[0][0] == "a, CPU"


def test_savings_of_several_gpus_are_from_the_originals_time_on_one(tmp_path):
    cases = [{"share": 1.0, "gpus": gpus} for gpus in (1, 8)]
    runs = [("library", "exact", cases[0], 60.0), ("library", "exact", cases[1], 10.0)]
    runs += [("authors", "authors", cases[0], 80.0)]
    one = write(tmp_path / "less-job.json", "less", {"model": "b", "rows": 8, "job": "j"}, runs, gpu="H20")
    rows = shown(paper_table([one]))
    assert rows["1.00", "1"][1] == ["80.0 (n=1)", "not run", "60.0 (n=1)", "25.0 %"]
    assert rows["1.00", "8"][1] == ["not run", "not run", "10.0 (n=1)", "87.5 %"]
    assert paper_table([one]).rows[0][0] == "b, H20"


def test_without_less_there_is_no_table(tmp_path):
    assert paper_table([write(tmp_path / "order.json", "order", {}, [])]) is None


def test_saving_is_in_percent_of_the_others_time():
    assert saving(Spread(3, 3, 3, 1), Spread(4, 4, 4, 1)) == pytest.approx(25)
    assert saving(Spread(5, 5, 5, 1), Spread(4, 4, 4, 1)) == pytest.approx(-25)


def test_the_figure_of_tsds_draws_what_was_measured_and_the_papers_band(tmp_path):
    variants = {
        "library tsds": ("library", 1.0),
        "upstream tsds": ("upstream", 4.0),
        "authors tsds": ("upstream", 2.0),
    }
    runs = [
        (side, variant, {"rows": rows, "queries": queries}, seconds * rows / 1000)
        for variant, (side, seconds) in variants.items()
        for rows in (1000, 5000)
        for queries in (50, 100)
    ]
    figure = tsds_figure([write(tmp_path / "tsds.json", "tsds", {}, runs)])
    seconds, saved = figure.axes
    lines = {line.get_label(): line for line in saved.lines}
    assert list(lines["ours, 50 queries"].get_xdata()) == [1000, 5000]
    assert list(lines["ours, 50 queries"].get_ydata()) == [50, 50]
    assert list(lines["upstream, 100 queries"].get_ydata()) == [-100, -100]
    assert {text.get_text() for text in seconds.get_legend().get_texts()} == {
        f"{name}, {queries} queries" for name in ("ours", "upstream", "authors") for queries in (50, 100)
    }
    assert "paper: DataFlex below the authors, 1 to 3.5 %" in [
        text.get_text() for text in saved.get_legend().get_texts()
    ]
    (band,) = saved.patches
    assert (band.get_y(), band.get_y() + band.get_height()) == (1, 3.5)


def test_a_side_that_was_not_measured_is_left_out(tmp_path):
    runs = [("library", "library tsds", {"rows": rows, "queries": 50}, 1.0) for rows in (1000, 5000)]
    seconds, saved = tsds_figure([write(tmp_path / "tsds.json", "tsds", {}, runs)]).axes
    assert [text.get_text() for text in seconds.get_legend().get_texts()] == ["ours, 50 queries"]
    assert len(saved.get_legend().get_texts()) == 1
    assert tsds_figure([]) is None
