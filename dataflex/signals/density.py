"""How crowded the pool is around a row: the kernel density of TSDS, exact, without every product in full.

TSDS (arXiv:2410.11303) counts near-duplicates with rho_j = sum_j' max(0, 1 - |x_j - x_j'|^2 / sigma^2). Its
authors sum over the rows that some query retrieved, which makes rho depend on how many neighbours were asked
for. Here the sum is over the whole pool: a row's density is then a property of the data alone.

Few pairs lie inside the kernel, and most of the others can be told at a fraction of the price. In the
basis of the pool's principal directions a pair's product is that of the first coordinates, plus at most the
product of the lengths of the rest (Cauchy and Schwarz). Both are one product of short bf16 vectors, the
length being one more coordinate. Where the bounds of 128 rows with a column, with all rounding counted in,
stay below the kernel's edge, the column is done with; what remains is computed in full. Rows are put in order
of coarse clusters, so that what remains lies together. How many coordinates pay best is measured on a sample
of the pool.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from dataflex.arrays import FloatArray, IntArray
from dataflex.collectives import from_first_rank, sum_over_ranks, world
from dataflex.signals.products import Vectors, block, full_precision, gather, product_device

_GROUP = 128
"""Rows that share the columns they are computed with in full."""
_TALL, _WIDE = 1024, 2048
"""Block of bounds that is held at once: it fits into a processor's cache."""
_PIVOTS = 1024
"""Rows that the others are ordered by, at the most; one in 32 of a smaller pool."""
_READ = 16384
"""Rows that are read at once."""
_SMALL = 4096
"""Up to so many rows, all products in full are cheaper than finding out which can be spared."""
_NARROW = 0.1
"""Below this sigma 2 - 2 cos in fp32 is too coarse for the kernel; fp64 is used."""
_SLACK = 2.0**-13
"""More than the error of the fp32 products in the rotation and in the bound."""


def density(pool: Vectors, rows: IntArray, sigma: float, *, device: torch.device | None = None) -> FloatArray:
    """Return rho of some rows, over the whole pool; 1 is a row alone. Equal on all ranks.

    Args:
        pool: unit vectors, shape ``(N, D)``; may be a memory map.
        rows: distinct row numbers, shape ``(n,)``.
        sigma: radius of the kernel; at 0 every row is alone.
        device: where the products are made; none takes this process's own.

    Returns:
        Shape ``(n,)``, exact to the rounding of fp32 products.
    """
    if sigma <= 0 or not len(rows):
        return np.ones(len(rows))
    device = device or product_device()
    with full_precision(), torch.no_grad():
        if len(pool) <= _SMALL:
            order = _wanted_first(np.arange(len(pool)), rows)
            screen = None
        else:
            order, screen = _prepare(pool, rows, 1 - sigma**2 / 2, device)
        sums = _sums(pool, order, len(rows), screen, sigma, device)
    found = np.empty(len(pool))
    found[order] = sum_over_ranks(sums).numpy()
    return 1 + found[rows]


@dataclass(frozen=True)
class _Screen:
    """Short vectors whose products bound those of the full ones."""

    left: torch.Tensor
    """In the order of computation, shape ``(N, width)``."""
    edge: float
    """A pair whose product is smaller lies outside of the kernel."""


def _wanted_first(order: IntArray, rows: IntArray) -> IntArray:
    """Move the rows that are asked for to the front."""
    wanted = np.zeros(len(order), bool)
    wanted[rows] = True
    return np.concatenate([order[wanted[order]], order[~wanted[order]]])


def _sums(
    pool: Vectors, order: IntArray, count: int, screen: _Screen | None, sigma: float, device: torch.device
) -> torch.Tensor:
    """Return this rank's share of the kernel sums, without the pair of a row with itself; shape ``(N,)``.

    Places are those in ``order``. Each pair is met once, at the earlier of its two places, and counts for
    both; sums at places from ``count`` on mean nothing.
    """
    rank, size = world()
    threads = torch.get_num_threads() if device.type == "cpu" else 1

    def share(thread: int) -> torch.Tensor:
        if threads > 1:
            torch.set_num_threads(1)
        turn = rank * threads + thread
        return _share(pool, order, count, screen, sigma, device, turn, size * threads)

    if threads == 1:
        return share(0)
    # Threads with blocks of their own never wait for each other; within a product they would after each one.
    try:
        with ThreadPoolExecutor(threads) as workers:
            return torch.stack(list(workers.map(share, range(threads)))).sum(0)
    finally:
        torch.set_num_threads(threads)


def _share(
    pool: Vectors,
    order: IntArray,
    count: int,
    screen: _Screen | None,
    sigma: float,
    device: torch.device,
    turn: int,
    turns: int,
) -> torch.Tensor:
    """Return the kernel sums over every ``turns``-th block of rows, from ``turn`` on; shape ``(N,)``."""
    sums = torch.zeros(len(order), dtype=torch.float64, device=device)
    for start in range(turn * _TALL, count, turns * _TALL):
        stop = min(start + _TALL, count)
        reached = _reached(screen, start, stop) if screen else None
        for number, first in enumerate(range(start, stop, _GROUP)):
            last = min(first + _GROUP, stop)
            places = torch.arange(first, len(order))
            if reached is not None:
                places = places[reached[number, first - start :].cpu()]
            mine = gather(pool, order[first:last], device)
            for part in places.split(_READ):
                values = _kernel(mine, gather(pool, order[part.numpy()], device), sigma)
                # Among themselves the group's rows meet in both directions, and each row meets itself.
                own = int((part < last).sum())
                values[part[:own] - first, torch.arange(own)] = 0
                sums[first:last] += values.sum(1, dtype=torch.float64)
                sums[part[own:].to(device)] += values[:, own:].sum(0, dtype=torch.float64)
    return sums.cpu()


def _reached(screen: _Screen, start: int, stop: int) -> torch.Tensor:
    """Tell for each group of rows from ``start`` to ``stop`` which places from ``start`` on it may reach."""
    rows, total = screen.left[start:stop], len(screen.left)
    groups = -(-len(rows) // _GROUP)
    if len(rows) < groups * _GROUP:
        rows = torch.cat([rows, rows[-1:].expand(groups * _GROUP - len(rows), -1)])
    reached = torch.empty(groups, total - start, dtype=torch.bool, device=rows.device)
    for left in range(start, total, _WIDE):
        bounds = rows @ screen.left[left : left + _WIDE].T
        highest = bounds.view(groups, _GROUP, -1).amax(1)
        torch.ge(highest, screen.edge, out=reached[:, left - start : left - start + highest.shape[1]])
    return reached


def _kernel(some: torch.Tensor, others: torch.Tensor, sigma: float) -> torch.Tensor:
    if sigma < _NARROW:
        some, others = some.double(), others.double()
        lengths = some.square().sum(1)[:, None] + others.square().sum(1)
        return (1 - (lengths - 2 * (some @ others.T)) / sigma**2).clamp_(0, 1)
    offset = some.new_tensor(1 - 2 / sigma**2)
    return torch.addmm(offset, some, others.T, alpha=2 / sigma**2).clamp_(0, 1)


def _prepare(
    pool: Vectors, rows: IntArray, cosine: float, device: torch.device
) -> tuple[IntArray, _Screen | None]:
    """Return the order of computation and the cheapest screen for the kernel's edge, if one pays."""
    dimension = pool.shape[1]
    draws = np.random.default_rng(0)
    moment = torch.zeros(dimension, dimension, dtype=torch.float64, device=device)
    pivots = gather(pool, draws.choice(len(pool), min(_PIVOTS, -(-len(pool) // 32)), replace=False), device).T
    fast = _fast_type(device)
    labels, scores = [], []
    for start in range(0, len(pool), _READ):
        part = block(pool, start, start + _READ, device)
        moment += (part.T @ part).double()
        best = (part.to(fast) @ pivots.to(fast)).max(1)
        labels.append(best.indices.cpu())
        scores.append(best.values.float().cpu())
    order = np.lexsort((-torch.cat(scores).numpy(), torch.cat(labels).numpy()))
    # Ranks share the pairs by their places, so the places must be the same on all of them.
    order = from_first_rank(torch.from_numpy(_wanted_first(order, rows))).numpy()
    basis = torch.linalg.eigh(moment)[1].flip(1).float()
    width = _best_width(pool, order, len(rows), basis, cosine, fast, draws)
    return order, _screen(pool, order, basis[:, : width - 1], cosine, fast) if width else None


def _best_width(
    pool: Vectors,
    order: IntArray,
    count: int,
    basis: torch.Tensor,
    cosine: float,
    fast: torch.dtype,
    draws: np.random.Generator,
) -> int:
    """Return how many coordinates the screen's vectors should have; 0 if no screen pays.

    The price of a width is that of the bounds, and of the share of columns that a group still reaches.
    """
    dimension = len(basis)
    starts = draws.integers(0, max(count - _GROUP, 0) + 1, size=8)
    some = order[(starts[:, None] + np.arange(min(_GROUP, count))).ravel()]
    group = gather(pool, some, basis.device) @ basis
    other = gather(pool, draws.choice(order, min(_WIDE, len(order)), replace=False), basis.device) @ basis
    gain = 1.0 if fast == torch.float32 else 2.5
    best, price = 0, 1.5 * dimension
    bounds = torch.zeros(len(group), len(other), device=basis.device)
    done = 0
    for width in range(32, dimension + 32, 32):
        kept = min(width - 1, dimension)
        bounds += group[:, done:kept] @ other[:, done:kept].T
        done = kept
        rests = group[:, kept:].norm(dim=1)[:, None] * other[:, kept:].norm(dim=1)
        reach = ((bounds + rests).view(len(starts), -1, len(other)).amax(1) > cosine - 0.01).float().mean()
        own = width / gain + 1.5 * dimension * float(reach)
        if own < price:
            best, price = width, own
    return best


def _screen(pool: Vectors, order: IntArray, basis: torch.Tensor, cosine: float, fast: torch.dtype) -> _Screen:
    """Rotate, shorten and round the pool's vectors; return them with the edge that allows for it all."""
    left = torch.empty(len(order), basis.shape[1] + 1, dtype=fast, device=basis.device)
    lost, longest = 0.0, 0.0
    for start in range(0, len(order), _READ):
        part = gather(pool, order[start : start + _READ], basis.device)
        head = part @ basis
        rest = (part.square().sum(1) - head.square().sum(1)).clamp_(min=0).add_(2.0**-20).sqrt_()
        rounded = head.to(fast)
        left[start : start + _READ, :-1] = rounded
        # Rounded up, so that the length of the rest is never taken too short.
        left[start : start + _READ, -1] = (rest * (1 + 2.0**-8)).to(fast)
        lost = max(lost, float((head - rounded.float()).norm(dim=1).max()))
        longest = max(longest, float(rounded.float().norm(dim=1).max()))
    edge = cosine - 2 * lost * longest - lost**2 - _SLACK
    # The bound itself is rounded to the same type.
    return _Screen(left, edge - abs(edge) * 2.0**-8)


def _fast_type(device: torch.device) -> torch.dtype:
    """Return bf16 where its products are the quicker ones: many processors only emulate them."""
    if device.type == "cuda":
        return torch.bfloat16
    taken = {}
    for kind in (torch.float32, torch.bfloat16):
        factor = torch.ones(256, 256, dtype=kind)
        times = []
        for _ in range(5):
            began = time.perf_counter()
            _ = factor @ factor
            times.append(time.perf_counter() - began)
        taken[kind] = min(times)
    return min(taken, key=lambda kind: taken[kind])
