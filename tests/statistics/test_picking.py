import itertools

import numpy as np
import pytest
from scipy import stats

from dataflex.evidence.statistics.picking import random_picking


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
