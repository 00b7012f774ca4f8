"""Oracle of the density: the definition, every pair in fp64."""

import numpy as np
import pytest
import torch

from dataflex.signals import density as module
from dataflex.signals.density import density

from .vectors import clustered, true_distances


def brute(pool: np.ndarray, rows: np.ndarray, sigma: float) -> np.ndarray:
    return np.maximum(0, 1 - true_distances(pool[rows], pool) ** 2 / sigma**2).sum(1)


@pytest.mark.parametrize("fast", [torch.bfloat16, torch.float32], ids=["bf16", "fp32"])
@pytest.mark.parametrize("sigma", [0.05, 0.3, 0.75, 1.2, 3.0])
@pytest.mark.parametrize("noise", [0.05, 0.5, 2.0])
def test_the_screen_loses_no_pair(
    noise: float, sigma: float, fast: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SMALL", 100)
    monkeypatch.setattr(module, "_fast_type", lambda device: fast)
    pool = clustered(900, 64, 30, noise)
    pool[700:720] = pool[3]
    pool[100:110] = -pool[3]
    for rows in (np.arange(900), np.random.default_rng(1).permutation(900)[:222]):
        exact = brute(pool, rows, sigma)
        assert density(pool, rows, sigma) == pytest.approx(exact, rel=2e-5, abs=2e-5)


def test_a_screen_is_used_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Independent directions: hardly a column is computed in full."""
    monkeypatch.setattr(module, "_SMALL", 100)
    pool = clustered(3000, 384, 3000, 1.0)
    columns = []
    kernel = module._kernel
    monkeypatch.setattr(
        module, "_kernel", lambda a, b, sigma: columns.append(len(a) * len(b)) or kernel(a, b, sigma)
    )
    assert density(pool, np.arange(3000), 0.75) == pytest.approx(np.ones(3000))
    assert sum(columns) < 0.1 * 3000**2


def test_small_pools_equal_the_definition_and_duplicates_count_fully() -> None:
    pool = np.repeat(clustered(40, 32, 40, 1.0), 3, axis=0)
    rows = np.arange(120)
    assert density(pool, rows, 0.75) == pytest.approx(brute(pool, rows, 0.75), rel=1e-5)
    assert density(pool, rows, 1e-4) == pytest.approx(np.full(120, 3.0))
    assert (density(pool, rows, 0.0) == 1).all()
    assert density(pool, rows[:0], 0.75).shape == (0,)


def test_a_density_does_not_depend_on_which_others_are_asked_for() -> None:
    pool = clustered(600, 32, 10, 0.3)
    some = np.array([5, 599, 17])
    assert density(pool, some, 0.75) == pytest.approx(density(pool, np.arange(600), 0.75)[some], rel=1e-6)


def test_ranks_share_the_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TALL", 256)
    pool = clustered(900, 32, 10, 0.3)
    alone = density(pool, np.arange(900), 0.75)
    parts: list[torch.Tensor] = []
    monkeypatch.setattr(module, "sum_over_ranks", lambda part: parts.append(part) or part)
    for rank in range(3):
        monkeypatch.setattr(module, "world", lambda rank=rank: (rank, 3))
        density(pool, np.arange(900), 0.75)
    assert 1 + torch.stack(parts).sum(0).numpy() == pytest.approx(alone, rel=1e-6)


def test_threads_share_the_pairs_and_are_set_back() -> None:
    pool = clustered(2500, 32, 10, 0.3)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        first, again = (density(pool, np.arange(2500), 0.75) for _ in range(2))
        assert torch.get_num_threads() == 3
        torch.set_num_threads(1)
        assert density(pool, np.arange(2500), 0.75) == pytest.approx(first, rel=1e-6)
        assert np.array_equal(first, again)
    finally:
        torch.set_num_threads(before)
