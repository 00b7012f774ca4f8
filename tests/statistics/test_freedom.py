import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from dataflex.evidence.statistics.freedom import combined

variances = st.floats(1e-6, 1e3)
freedoms = st.sampled_from([1, 2, 5, 56, 164, math.inf])


@settings(deadline=None, max_examples=50)
@given(variances, freedoms, variances, freedoms)
def test_it_lies_between_the_two(one, its, other, others):
    found = combined((one, its), (other, others))
    assert min(its, others) <= found <= max(its, others)
    assert found == combined((other, others), (one, its))


def test_a_part_that_vanishes_does_not_count():
    assert combined((0.0, 2), (1.0, 56)) == 56
    assert combined((1.0, 2), (0.0, 56)) == 2
    assert combined((1.0, 2), (1e-12, 56)) == pytest.approx(2)


def test_the_quantile_by_hand():
    """Half and half: weight (1/4)/(1/4 + 1/2) = 1/3 for the seeds."""
    found = combined((1.0, 2), (1.0, math.inf))
    expected = special.stdtrit(2, 0.975) / 3 + special.ndtri(0.975) * 2 / 3
    assert special.stdtrit(found, 0.975) == pytest.approx(expected)


def coverage(freedom_of, seeds: int, share: float, many: int = 56) -> float:
    """Exact but for the grid: the mean over both estimated variances of what the interval holds."""
    at = (np.arange(400) + 0.5) / 400
    few = share * special.chdtri(seeds - 1, 1 - at)[:, None] / (seeds - 1)
    known = (1 - share) * special.chdtri(many, 1 - at)[None, ::8] / many
    total = few + known
    found = np.vectorize(freedom_of)(few + 0 * known, known + 0 * few)
    return float(special.chdtr(1, special.stdtrit(found, 0.975) ** 2 * total).mean())


@pytest.mark.parametrize("seeds", [3, 6])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98])
def test_intervals_cover_whatever_the_seeds_share_of_the_variance(seeds, share):
    found = coverage(lambda few, known: combined((few, seeds - 1), (known, 56)), seeds, share)
    assert found == pytest.approx(0.95, abs=0.01)


def test_satterthwaites_rule_does_not_cover_with_three_seeds():
    """Why it is not used."""

    def satterthwaite(few, known):
        return (few + known) ** 2 / (few**2 / 2 + known**2 / 56)

    assert coverage(satterthwaite, 3, 0.9) < 0.93
