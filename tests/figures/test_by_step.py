import hashlib
import math

import numpy as np
import pytest
from results_factory import write_cell, write_steps

from dataflex.evidence.by_step import Point
from dataflex.evidence.results import read_results
from paper_figures.by_step import accuracy_by_step, averaged
from paper_figures.style import COLOURS, DASHES, save


def write_curves(root, models=("small", "large"), methods=("full", "less"), seeds=(1,)):
    """Accuracies that tell model, method and seed apart; each of 40 questions."""
    for place, model in enumerate(models):
        for method in methods:
            for seed in seeds:
                folder = write_cell(root, "selection", method, seed, model=model)
                first = 10 + 2 * place + methods.index(method) + seed
                write_steps(folder, [first / 40, (first + 2) / 40])
    return read_results(root)


def test_a_panel_a_model_and_a_line_a_method(tmp_path):
    figure = accuracy_by_step(write_curves(tmp_path))
    assert [axes.get_title("left") for axes in figure.axes] == ["large", "small"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Full data", "LESS"]
    results = {result.key[1:3]: result for result in read_results(tmp_path)}
    for axes, place, model in zip(figure.axes, (1, 0), ("large", "small"), strict=True):
        for line, method in zip(axes.get_lines(), ("full", "less"), strict=True):
            first = 11 + 2 * place + ("full", "less").index(method)
            end = results[method, model].metrics["mmlu"]["acc"]
            assert line.get_xdata().tolist() == [200, 400, 600]
            assert line.get_ydata() == pytest.approx([100 * first / 40, 100 * (first + 2) / 40, 100 * end])


def test_the_band_is_the_binomial_standard_error(tmp_path):
    (axes,) = accuracy_by_step(write_curves(tmp_path, ["tiny"], ["less"])).axes
    (band,) = axes.collections
    corners = band.get_paths()[0].vertices
    for step, right in ((200, 11), (400, 13)):
        heights = corners[corners[:, 0] == step, 1]
        error = math.sqrt(right / 40 * (1 - right / 40) / 40)
        expected = (100 * (right / 40 - error), 100 * (right / 40 + error))
        assert (heights.min(), heights.max()) == pytest.approx(expected)


def test_the_error_is_that_of_repeated_tests_of_as_many_questions():
    _, (accuracy,), (error,) = averaged([[Point(10, 0.3, 1.2, 500)]])
    drawn = np.random.default_rng(0).binomial(500, accuracy, 200_000) / 500
    assert error == pytest.approx(drawn.std(), rel=0.02)


def test_seeds_are_averaged_where_all_have_a_step():
    runs = [
        [Point(10, 0.2, 1.4, 50), Point(20, 0.4, 1.3, 50), Point(30, 0.5, 1.3, 50)],
        [Point(10, 0.4, 1.4, 50), Point(30, 0.7, 1.3, 50)],
    ]
    steps, accuracies, errors = averaged(runs)
    assert steps == [10, 30]
    assert accuracies == pytest.approx([0.3, 0.6])
    # The same questions in every seed: no smaller an error than one run's.
    assert errors == pytest.approx([math.sqrt(0.3 * 0.7 / 50), math.sqrt(0.6 * 0.4 / 50)])


def test_a_method_looks_the_same_in_every_panel(tmp_path):
    write_curves(tmp_path / "a", methods=("full", "less"))
    write_curves(tmp_path / "a", models=("other",), methods=("less",))
    figure = accuracy_by_step(read_results(tmp_path / "a"))
    looks = [
        {(line.get_color(), line.get_linestyle()) for line in axes.get_lines()}
        for axes in figure.axes
        if axes.get_visible()
    ]
    assert [len(found) for found in looks] == [2, 1, 2]
    assert looks[1] < looks[0] == looks[2]


def test_as_many_methods_as_the_paper_has_look_different():
    looks = {(COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)]) for place in range(9)}
    assert len(looks) == 9


def test_no_figure_without_a_curve(tmp_path):
    write_cell(tmp_path, "selection", "full")
    assert accuracy_by_step(read_results(tmp_path)) is None


def test_experiments_and_scales_are_named_where_there_are_several(tmp_path):
    for scale in ("s", "l"):
        write_steps(write_cell(tmp_path, "selection", "full", scale=scale), [0.25])
    figure = accuracy_by_step(read_results(tmp_path))
    assert [axes.get_title("left") for axes in figure.axes] == ["tiny, l", "tiny, s"]


def test_the_figure_is_the_same_bytes_again_and_others_for_another_number(tmp_path):
    def made(name):
        save(accuracy_by_step(read_results(tmp_path / "results")), tmp_path / name, "accuracy_by_step")
        return {file.name: hashlib.sha256(file.read_bytes()).digest() for file in (tmp_path / name).iterdir()}

    write_curves(tmp_path / "results", ["tiny"])
    first = made("first")
    assert set(first) == {f"accuracy_by_step.{kind}" for kind in ("svg", "pdf", "png")}
    assert made("second") == first
    folder = next((tmp_path / "results").glob("selection/less*"))
    write_steps(folder, [0.9, 0.9])
    assert not set(made("third").values()) & set(first.values())
