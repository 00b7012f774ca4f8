import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from dataflex.evidence.statistics.freedom import combined

variances = st.floats(1e-6, 1e3)
freedoms = st.sampled_from([0.6, 1, 2, 5, 5, 56, 164, math.inf])


@settings(deadline=None, max_examples=50)
@given(variances, freedoms, variances, freedoms)
def test_it_lies_between_the_fewer_and_satterthwaites_with_these_known(one, its, other, others):
    found = combined((one, its), (other, others))
    assert found == combined((other, others), (one, its))
    assert found >= min(its, others)
    if its < others:
        assert found <= others * ((one + other) / other) ** 2 * (1 + 1e-6)


def test_a_part_that_vanishes_does_not_count():
    assert combined((0.0, 2), (1.0, 56)) == 56
    assert combined((1.0, 2), (0.0, 56)) == 2
    assert combined((1.0, 2), (1e-12, 56)) == pytest.approx(2)


def test_with_a_part_that_is_not_known_nothing_is():
    assert combined((1.0, 2), (math.inf, 0)) == 0


def test_the_quantile_by_hand():
    """Half and half, b = .7 (1 - .77/2)^3: weight (1/16) / (1/16 + b/2); 8 degrees count fourfold."""
    weight = 0.0625 / (0.0625 + 0.35 * 0.615**3)
    for freedom, at in ((math.inf, special.ndtri(0.975)), (8, special.stdtrit(32, 0.975))):
        found = combined((1.0, 2), (1.0, freedom))
        expected = special.stdtrit(2, 0.975) * weight + at * (1 - weight)
        assert special.stdtrit(found, 0.975) == pytest.approx(expected)


@given(st.floats(1e-300, 1e300), freedoms, st.floats(1e-300, 1e300), freedoms)
def test_no_share_is_too_small_or_too_large(one, its, other, others):
    found = combined((one, its), (other, others))
    assert found >= min(its, others)


@pytest.mark.parametrize("few", [0.6, 1, 2])
def test_a_negligible_part_hardly_counts(few):
    assert combined((1e-6, few), (1.0, 56)) == pytest.approx(56, rel=1e-3)


def coverage(freedom_of, seeds: int, share: float, many: float = 56) -> float:
    """Exact but for the grid: the mean over both estimated variances of what the interval holds."""
    at = (np.arange(400) + 0.5) / 400
    few = share * special.chdtri(seeds - 1, 1 - at)[:, None] / (seeds - 1)
    known = np.full((1, 1), 1 - share)
    if many < math.inf:
        known = known * special.chdtri(many, 1 - at)[None, 4::8] / many
    total = few + known
    found = np.vectorize(freedom_of)(few + 0 * known, known + 0 * few)
    return float(special.chdtr(1, special.stdtrit(np.minimum(found, 1e10), 0.975) ** 2 * total).mean())


SHARES = (0.02, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.98)


@pytest.mark.parametrize("many", [20, 56, 164, math.inf])
@pytest.mark.parametrize(
    ("seeds", "limit"), [(2, 0.0145), (3, 0.005), (4, 0.004), (6, 0.0035), (10, 0.003), (21, 0.002)]
)
@pytest.mark.parametrize("share", SHARES)
def test_intervals_cover_whatever_the_seeds_share_of_the_variance(seeds, limit, share, many):
    found = coverage(lambda few, known: combined((few, seeds - 1), (known, many)), seeds, share, many)
    assert found == pytest.approx(0.95, abs=limit)


@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
@pytest.mark.parametrize("freedom", [5, 10, 20])
def test_intervals_cover_where_both_parts_are_as_little_known(freedom, share):
    found = coverage(
        lambda one, other: combined((one, freedom), (other, freedom)), freedom + 1, share, freedom
    )
    assert found == pytest.approx(0.95, abs=0.006)


def test_satterthwaites_rule_does_not_cover_with_three_seeds():
    """Why it is not used."""

    def satterthwaite(few, known):
        return (few + known) ** 2 / (few**2 / 2 + known**2 / 56)

    assert coverage(satterthwaite, 3, 0.9) < 0.93
