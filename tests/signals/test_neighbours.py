"""Oracle of the neighbours: every distance in fp64, sorted by distance and number.

Sets are compared row by row; inside a list only rows further apart than fp32 rounding have a certain order.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from dataflex.errors import UserError
from dataflex.signals import neighbours
from dataflex.signals.neighbours import Index, nearest

from .vectors import clustered, true_distances, unit


def brute(queries: np.ndarray, pool: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    distances = true_distances(queries, pool)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(distances, order, 1)


@pytest.mark.parametrize("scores", [2**25, 2**14], ids=["one block", "many blocks"])
@pytest.mark.parametrize("k", [1, 7, 300, 5000])
def test_all_neighbours_in_the_order_of_their_true_distances(
    k: int, scores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "_SCORES", scores)
    pool, queries = clustered(2500, 24, 20, 0.5), clustered(33, 24, 20, 0.5, seed=1)
    found = nearest(queries, pool, k)
    ids, distances = brute(queries, pool, k)
    assert np.array_equal(np.sort(found.ids), np.sort(ids))
    assert found.distances == pytest.approx(distances, abs=1e-6)
    assert (np.diff(found.distances) >= 0).all()
    own = np.take_along_axis(true_distances(queries, pool), found.ids, 1)
    assert own == pytest.approx(found.distances, abs=1e-6)


@pytest.mark.parametrize("k", [10, 250])
def test_the_set_is_right_where_products_are_not(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows at distances 1e-8 from one to the next: products order them wrongly, the k-th lies among them."""
    monkeypatch.setattr(neighbours, "_SCORES", 2**10)
    rng = np.random.default_rng(0)
    queries = clustered(4, 64, 20, 0.5)
    away = rng.standard_normal((2500, 64)) * 1e-7
    pool = unit(np.concatenate([queries[:1] + queries[1:2] + away, clustered(500, 64, 20, 0.5, seed=1)]))
    pool = pool[rng.permutation(len(pool))]
    wrong = np.argsort(-(queries[:2] @ pool.T), axis=1, kind="stable")[:, :k]
    ids = brute(queries, pool, k)[0]
    assert not np.array_equal(np.sort(wrong), np.sort(ids[:2]))
    assert np.array_equal(np.sort(nearest(queries, pool, k).ids), np.sort(ids))


@pytest.mark.parametrize("threads", [1, 2])
def test_duplicates_come_by_number_though_their_products_differ(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A product depends on where its row lies in a block, and on the block's shape."""
    monkeypatch.setattr(neighbours, "_SCORES", 2**10)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for size in (1027, 2049, 3077, 5123):
            pool = np.repeat(clustered(size // 2 + 1, 384, 20, 0.5), 2, axis=0)[:size]
            pool = pool[np.random.default_rng(0).permutation(size)]
            queries = clustered(3, 384, 20, 0.5, seed=1)
            for k in (3, 256):
                found = nearest(queries, pool, k).ids
                assert np.array_equal(np.sort(found), np.sort(brute(queries, pool, k)[0]))
                for one in found:
                    same = (pool[one[:-1]] == pool[one[1:]]).all(1)
                    assert same.sum() == len(one) - len(np.unique(pool[one], axis=0))
                    assert (np.diff(one)[same] > 0).all()
    finally:
        torch.set_num_threads(before)


def test_duplicates_come_by_number_wherever_they_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """60 vectors, each 50 times, shuffled: every cut at k falls among equals."""
    monkeypatch.setattr(neighbours, "_SCORES", 2**14)
    rng = np.random.default_rng(0)
    pool = np.repeat(clustered(60, 24, 20, 0.5), 50, axis=0)[rng.permutation(3000)]
    queries = np.concatenate([clustered(9, 24, 20, 0.5, seed=1), pool[:3]])
    for k in (1, 10, 49, 50, 75):
        found = nearest(queries, pool, k)
        assert np.array_equal(found.ids, brute(queries, pool, k)[0])
    assert (found.distances[9:, :50] == 0).all()


def test_rows_in_rising_order_of_nearness_are_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worst case for the guess of how many rows of a block can matter: each block beats all before."""
    monkeypatch.setattr(neighbours, "_SCORES", 2**10)
    pool, query = clustered(5000, 16, 20, 0.5), clustered(1, 16, 20, 0.5, seed=1)
    pool = pool[np.argsort(pool @ query[0])]
    assert np.array_equal(nearest(query, pool, 40).ids, brute(query, pool, 40)[0])


def test_tiny_distances_keep_their_digits() -> None:
    query = unit(np.random.default_rng(0).standard_normal((1, 64)))
    away = np.zeros((5, 64))
    away[np.arange(5), np.arange(5)] = [1e-6, 3e-6, 1e-5, 1e-4, 1e-3]
    pool = unit(query + away)
    found = nearest(query, pool, 5)
    assert found.distances == pytest.approx(brute(query, pool, 5)[1], rel=1e-9)


def test_a_memory_map_gives_the_same(tmp_path: Path) -> None:
    pool, queries = clustered(1000, 16, 5, 0.5), clustered(5, 16, 5, 0.5, seed=1)
    np.save(tmp_path / "pool.npy", pool)
    mapped = np.load(tmp_path / "pool.npy", mmap_mode="r")
    assert np.array_equal(nearest(queries, mapped, 20).ids, nearest(queries, pool, 20).ids)


@pytest.mark.parametrize("index", ["exact", "approximate"])
@pytest.mark.parametrize("count", [7, 2, 0])
def test_ranks_share_the_queries(count: int, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rank comes to the sum, also one that no query is left for."""
    if index == "approximate":
        pytest.importorskip("faiss")
    pool, queries = clustered(500, 16, 5, 0.5), clustered(7, 16, 5, 0.5, seed=1)[:count]
    parts: list[torch.Tensor] = []
    monkeypatch.setattr(neighbours, "sum_over_ranks", lambda part: parts.append(part) or part)
    for rank in range(3):
        monkeypatch.setattr(neighbours, "world", lambda rank=rank: (rank, 3))
        found = nearest(queries, pool, 9, index=index)
        assert found.ids.shape == found.distances.shape == (count, 9)
    assert len(parts) == 3
    total = torch.stack(parts).sum(0).numpy()
    ids, distances = brute(queries, pool, 9)
    assert np.array_equal(total[0], ids)
    assert total[1] == pytest.approx(distances, abs=1e-6)


def test_the_approximate_index_never_returns_a_row_it_did_not_find() -> None:
    pool, queries = clustered(4000, 16, 40, 0.2), clustered(20, 16, 40, 0.2, seed=1)
    pytest.importorskip("faiss")
    found = nearest(queries, pool, 10, index="approximate", probes=10_000)
    assert np.array_equal(found.ids, brute(queries, pool, 10)[0])
    with pytest.raises(UserError, match="raise probes above 1"):
        nearest(queries, pool, 2000, index="approximate", probes=1)


def test_without_faiss_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UserError, match=r"dataflex\[embeddings\]"):
        nearest(clustered(2, 4, 2, 1.0), clustered(9, 4, 2, 1.0), 2, index="approximate")
