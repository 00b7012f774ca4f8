import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dataflex.evidence.statistics.prediction import further_run, half_width, share_half_width
from dataflex.evidence.statistics.seeds import mean, standard_deviation

numbers = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=20)


@settings(deadline=None, max_examples=50)
@given(values=numbers, level=st.floats(0.5, 0.999))
def test_half_width_is_students_prediction_interval(values, level):
    n = len(values)
    expected = stats.t.interval(level, n - 1)[1] * np.std(values, ddof=1) * math.sqrt(1 + 1 / n)
    assert half_width(values, level) == pytest.approx(expected, rel=1e-6, abs=1e-9)


# Half widths in units of the sample standard deviation at 95 %, computed independently to three digits.
@pytest.mark.parametrize(("n", "width"), [(2, 15.56), (3, 4.97), (5, 3.04), (6, 2.78), (8, 2.51), (10, 2.37)])
def test_half_width_at_95_percent(n, width):
    values = [float(i) for i in range(n)]
    assert half_width(values, 0.95) / standard_deviation(values) == pytest.approx(width, rel=2e-3)


def test_one_run_has_no_tolerance():
    with pytest.raises(ValueError, match="at least two"):
        half_width([1.0])


def test_a_new_run_is_covered_as_often_as_stated():
    rng = stats.norm.rvs(size=(4000, 7), random_state=1)
    covered = [abs(row[6] - mean(row[:6])) <= half_width(list(row[:6]), 0.9) for row in rng]
    assert sum(covered) / len(covered) == pytest.approx(0.9, abs=0.015)


def test_a_published_number_is_tested_as_a_further_run():
    values = [0.30, 0.31, 0.32, 0.30]
    found = further_run(values)
    assert (found.value, found.freedom) == (pytest.approx(0.3075), 3)
    low, high = found.interval()
    assert found.p_value(high) == pytest.approx(0.05)
    assert (high - low) / 2 == pytest.approx(half_width(values, 0.95))


def test_errors_of_the_questions_come_on_top_in_quadrature():
    values = [0.30, 0.31, 0.32, 0.30]
    alone, both = further_run(values), further_run(values, [0.003, 0.004])
    assert both.error**2 == pytest.approx(alone.error**2 + 0.005**2)
    assert 3 < both.freedom < math.inf
    assert further_run(values, [1e-9]).freedom == pytest.approx(3, rel=1e-6)
    assert further_run([0.3, 0.3 + 1e-9, 0.3], [0.01]).freedom > 1e6


def test_errors_of_few_subjects_make_the_prediction_wider():
    values = [0.30, 0.3 + 1e-9, 0.30]
    many, few = further_run(values, [0.01]), further_run(values, [0.01], 17)
    assert few.error == many.error
    assert few.freedom == pytest.approx(17, rel=1e-3)
    assert few.interval()[1] - few.value == pytest.approx(stats.t.ppf(0.975, 17) * 0.01, rel=1e-3)
    assert further_run(values, [math.inf], 0).interval() is None


def test_of_one_run_nothing_follows():
    assert further_run([0.3], [0.01]).interval() is None
    assert further_run([0.3]).p_value(9.0) == 1.0
    with pytest.raises(ValueError, match="at least one"):
        further_run([])


def test_runs_that_agree_more_than_picking_allows():
    assert half_width([1.0] * 6) == 0
    share = (6 * 64 + 1) / (6 * 64 + 2)
    expected = stats.norm.ppf(0.995) * math.sqrt(share * (1 - share) / 64 * (7 / 6))
    assert share_half_width([1.0] * 6, 64) == pytest.approx(expected)
