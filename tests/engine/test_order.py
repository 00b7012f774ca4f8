"""Properties of the data order: nothing lost, nothing repeated, shares kept, any position at once."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflex.arrays import IntArray
from dataflex.engine.feed import _RankBatches
from dataflex.engine.order import Order, largest_remainder, permute

sizes = st.lists(st.integers(1, 40), min_size=1, max_size=6)


def ranges(rows: list[int]) -> list[range]:
    ends = np.cumsum(rows)
    return [range(int(end - n), int(end)) for end, n in zip(ends, rows, strict=True)]


@given(st.integers(1, 3000), st.integers(0, 2**32))
def test_permute_is_a_permutation(size: int, entropy: int) -> None:
    image = permute(np.arange(size), size, (entropy, 1))
    assert sorted(image.tolist()) == list(range(size))


def test_permutations_are_uniform() -> None:
    """Chi-squared over the 24 orders of four elements; the bound is the 0.9999 quantile at 23 degrees."""
    orders = [tuple(permute(np.arange(4), 4, (seed,)).tolist()) for seed in range(4800)]
    counts = np.array([orders.count(order) for order in set(orders)])
    assert len(counts) == 24
    assert ((counts - 200) ** 2 / 200).sum() < 59.6


@pytest.mark.parametrize(
    ("total", "shares", "expected"),
    [(10, [0.5, 0.3, 0.2], [5, 3, 2]), (6, [1 / 7] * 7, [1] * 6 + [0]), (8, [1 / 7] * 7, [2] + [1] * 6)],
)
def test_largest_remainder(total: int, shares: list[float], expected: list[int]) -> None:
    assert largest_remainder(total, np.array(shares)).tolist() == expected


@given(sizes, st.data())
@settings(deadline=None)
def test_no_row_is_lost_or_repeated_within_an_epoch_of_its_domain(
    rows: list[int], data: st.DataObject
) -> None:
    shares = data.draw(st.lists(st.floats(0.05, 1), min_size=len(rows), max_size=len(rows)))
    order = Order(seed=5)
    order.begin(0, 400, shares, ranges(rows))
    ids = order.rows(0, 400)
    for stratum, n in zip(ranges(rows), rows, strict=True):
        mine = ids[(ids >= stratum.start) & (ids < stratum.stop)]
        for start in range(0, len(mine) - n + 1, n):
            assert sorted(mine[start : start + n].tolist()) == list(stratum)


@given(sizes, st.integers(1, 9), st.data())
@settings(deadline=None)
def test_any_window_equals_its_part_of_the_whole(rows: list[int], step: int, data: st.DataObject) -> None:
    shares = data.draw(st.lists(st.floats(0, 1), min_size=len(rows), max_size=len(rows)))
    shares[0] += 0.1
    order = Order(seed=1)
    order.begin(0, 90, shares, ranges(rows))
    whole = order.rows(0, 90)
    assert np.array_equal(
        np.concatenate([order.rows(p, min(step, 90 - p)) for p in range(0, 90, step)]), whole
    )


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=7))
@settings(deadline=None)
def test_every_prefix_keeps_its_shares(shares: list[float]) -> None:
    """The bound of the module's docstring: slots of k strata end at k different places."""
    share = np.array(shares) / sum(shares)
    order = Order(seed=2)
    order.begin(0, 500, share, [range(10)] * len(share))
    counts = np.array([order.segment.counts(n) for n in range(501)])  # type: ignore[union-attr]
    off = np.abs(counts - np.arange(501)[:, None] * share).max(axis=0)
    assert (off < 2 + share * (len(share) - 2)).all()


@given(st.integers(1, 12))
@settings(deadline=None)
def test_short_segments_owe_nothing_in_the_end(length: int) -> None:
    """Rounding is carried over, so that many short phases keep shares that none of them could."""
    share = np.array([0.541, 0.287, 0.042, 0.037, 0.034, 0.031, 0.028])
    order, counts = Order(seed=3), np.zeros(7)
    order.begin(0, length, share, ranges([100] * 7))
    for phase in range(150):
        counts += np.bincount(order.rows(phase * length, length) // 100, minlength=7)
        order.begin((phase + 1) * length, (phase + 2) * length, share)
    assert np.abs(counts - 150 * length * share).max() < 2


def test_a_mixture_change_keeps_each_domains_place_and_a_new_pool_starts_anew() -> None:
    order = Order(seed=4)
    order.begin(0, 1000, [0.5, 0.5], ranges([100, 100]))
    first = order.rows(0, 100)
    order.begin(100, 1000, [0.9, 0.1])
    then = order.rows(100, 50)
    seen, new = set(first[first < 100].tolist()), then[then < 100].tolist()
    assert seen.isdisjoint(new)
    order.begin(150, 155, [1.0], [np.array([7, 9, 11, 13, 15])])
    assert sorted(order.rows(150, 5).tolist()) == [7, 9, 11, 13, 15]


@given(
    ranks=st.integers(1, 64),
    micro_batch=st.integers(1, 4),
    accumulation=st.integers(1, 3),
    rows=st.lists(st.integers(1, 300), min_size=1, max_size=5),
    data=st.data(),
)
@settings(deadline=None)
def test_the_union_over_ranks_is_the_global_order(
    ranks: int, micro_batch: int, accumulation: int, rows: list[int], data: st.DataObject
) -> None:
    """Every rank asks for its own micro-batches; together they are the step's rows, each once, in any split.

    Over a change of the mixture too: within an epoch of its domain no row is lost or repeated, and what was
    drawn of a domain is what was asked for, within a row at the end of a phase.
    """
    batch = ranks * micro_batch * accumulation
    order = Order(seed=6)
    strata, given_shares = ranges(rows), st.lists(st.floats(0.05, 1), min_size=len(rows), max_size=len(rows))
    mixes = [np.array(data.draw(given_shares)) for _ in range(2)]
    drawn: list[IntArray] = []
    owed = np.zeros(len(rows))
    for mix, first, stop in ((mixes[0], 0, 2), (mixes[1], 2, 3)):
        order.begin(first * batch, stop * batch, mix, None if first else strata)
        of_step = {step: order.rows(step * batch, batch) for step in range(first, stop)}
        by_rank = []
        for rank in range(ranks):
            with mock.patch("dataflex.engine.feed.world", return_value=(rank, ranks)):
                served = _RankBatches(of_step.__getitem__, first, stop, micro_batch, accumulation)
                by_rank.append(list(served))
        assert all(len(own) == micro_batch for batches in by_rank for own in batches)
        for step in range(first, stop):
            own = slice((step - first) * accumulation, (step - first + 1) * accumulation)
            union = np.array([row for batches in by_rank for part in batches[own] for row in part])
            drawn.append(of_step[step])
            assert sorted(union.tolist()) == sorted(drawn[-1].tolist())
            owed += mix / mix.sum() * batch - [np.isin(union, stratum).sum() for stratum in strata]
            assert (np.abs(owed) < 2).all()
        assert (np.abs(owed) < 1 + 1e-9).all()
    every = np.concatenate(drawn)
    for stratum, n in zip(strata, rows, strict=True):
        mine = every[np.isin(every, stratum)]
        for start in range(0, len(mine), n):
            epoch = mine[start : start + n]
            assert len(set(epoch.tolist())) == len(epoch)
            assert len(epoch) < n or sorted(epoch.tolist()) == list(stratum)


def test_seeds_change_the_order_and_state_restores_it() -> None:
    orders = []
    for seed in (1, 1, 2):
        order = Order(seed)
        order.begin(0, 100, [0.6, 0.4], ranges([60, 40]))
        orders.append(order)
    assert np.array_equal(orders[0].rows(0, 50), orders[1].rows(0, 50))
    assert not np.array_equal(orders[0].rows(0, 50), orders[2].rows(0, 50))
    copy = Order(1)
    copy.load_state_dict(orders[0].state_dict(), ranges([60, 40]))
    assert np.array_equal(copy.rows(37, 20), orders[0].rows(37, 20))
    with pytest.raises(ValueError, match="seed"):
        Order(9).load_state_dict(orders[0].state_dict(), ranges([60, 40]))
