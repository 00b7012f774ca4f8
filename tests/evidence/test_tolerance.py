import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dataflex.evidence.tolerance import half_width, mean, standard_deviation

numbers = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=20)


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


def test_one_value_has_no_deviation():
    with pytest.raises(ValueError, match="at least two"):
        standard_deviation([1.0])
    with pytest.raises(ValueError, match="at least two"):
        half_width([1.0])


def test_a_new_run_is_covered_as_often_as_stated():
    rng = stats.norm.rvs(size=(4000, 7), random_state=1)
    covered = [abs(row[6] - mean(row[:6])) <= half_width(list(row[:6]), 0.9) for row in rng]
    assert sum(covered) / len(covered) == pytest.approx(0.9, abs=0.015)
