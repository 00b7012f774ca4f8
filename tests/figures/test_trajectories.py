import numpy as np
import pytest
from results_factory import write_cell

from dataflex.evidence.results import read_results
from paper_figures.trajectories import mixture_weights


def test_a_panel_a_method_that_mixed(tmp_path):
    write_cell(tmp_path, "selection", "loss")
    for seed in (1, 2):
        write_cell(tmp_path, method="natural", seed=seed, shares={"code": 0.5, "prose": 0.5})
        write_cell(
            tmp_path, method="odm", seed=seed, shares={"code": 0.6 + seed / 10, "prose": 0.4 - seed / 10}
        )
    figure = mixture_weights(read_results(tmp_path))
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels] == ["Natural (baseline)", "ODM"]
    code, prose = panels[1].get_lines()
    np.testing.assert_array_equal(code.get_xdata(), [20, 40])
    np.testing.assert_allclose(code.get_ydata(), 0.75)
    np.testing.assert_allclose(prose.get_ydata(), 0.25)
    # No panel is cut off: the greatest share is 0.8, and all have one scale.
    assert {axes.get_ylim() for axes in panels} == {panels[0].get_ylim()}
    assert panels[0].get_ylim()[0] == 0
    assert 0.8 <= panels[0].get_ylim()[1] <= 1
    # The band is one deviation of the two seeds, 0.7 and 0.8.
    (band, _) = panels[1].collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.max() - heights.min() == pytest.approx(2 * 0.1 / np.sqrt(2))


def test_without_a_mixture_there_is_no_figure(tmp_path):
    write_cell(tmp_path, "selection", "loss")
    assert mixture_weights(read_results(tmp_path)) is None
