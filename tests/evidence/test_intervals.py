import itertools

import numpy as np
import pytest
from scipy import stats

from dataflex.evidence.intervals import holm, of_mean, over_seeds, random_picking, wilson


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 10), (64, 64), (200, 384)])
def test_wilson_is_scipys(hits, n):
    expected = stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert wilson(hits, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_no_pick_has_no_interval():
    with pytest.raises(ValueError, match="at least one"):
        wilson(0, 0)


def test_the_interval_over_seeds_is_students_cut_to_shares():
    values = [0.9, 0.95, 1.0, 0.97]
    expected = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert over_seeds(values) == pytest.approx((expected[0], min(1.0, expected[1])))
    assert over_seeds([0.0, 0.1]) == pytest.approx((0.0, 0.05 + 0.05 * 12.706204736), rel=1e-6)


def test_the_interval_of_a_mean_is_students_and_may_be_negative():
    values = [-0.2, 0.1, 0.05, -0.3]
    assert of_mean(values) == pytest.approx(stats.t.interval(0.95, 3, np.mean(values), stats.sem(values)))
    with pytest.raises(ValueError, match="two"):
        of_mean([0.1])


@pytest.mark.parametrize(
    ("hits", "picks", "target", "pool"), [(9, 12, 20, 60), (4, 12, 20, 60), (0, 8, 20, 40)]
)
def test_one_run_is_fishers_test(hits, picks, target, pool):
    table = [[hits, picks - hits], [target - hits, pool - target - (picks - hits)]]
    assert random_picking([hits], [picks], target, pool) == pytest.approx(stats.fisher_exact(table).pvalue)


def test_several_runs_add_up_exactly():
    """Against the enumeration of all pairs of subsets."""
    target, pool, picks = 3, 7, (2, 3)
    sums = []
    for first in itertools.combinations(range(pool), picks[0]):
        for second in itertools.combinations(range(pool), picks[1]):
            sums.append(sum(row < target for row in (*first, *second)))
    chance = {value: sums.count(value) / len(sums) for value in set(sums)}
    for seen in range(6):
        if seen in chance:
            expected = sum(p for p in chance.values() if p <= chance[seen] + 1e-12)
            assert random_picking([seen // 2, seen - seen // 2], picks, target, pool) == pytest.approx(
                expected
            )


def test_random_picks_are_seldom_called_different():
    rng = np.random.default_rng(0)
    p_values = [
        random_picking([int((rng.permutation(496)[:64] < 160).sum()) for _ in range(3)], [64] * 3, 160, 496)
        for _ in range(400)
    ]
    assert np.mean(np.array(p_values) < 0.05) < 0.08
    assert np.mean(p_values) > 0.4


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
