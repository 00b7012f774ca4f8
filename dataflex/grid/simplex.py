"""Static mixtures that cover the simplex evenly: the yardstick of methods that learn their mixture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations


def centroids(over: Sequence[str], least: float, without: Sequence[str] = ()) -> dict[str, dict[str, float]]:
    """Scheffé's simplex-centroid design: for every subset of the domains, equal shares of its members.

    They are shrunk so that every domain keeps ``least``: where all are wanted none is best left out.

    Args:
        over: domains that are mixed.
        least: share that each of them has at least.
        without: domains that get nothing.

    Returns:
        2^k - 1 mixtures of k domains, small subsets first, by the names of the subset's members.

    Raises:
        ValueError: ``least`` leaves nothing to divide, or a domain is named twice.
    """
    names = [*over, *without]
    if len(set(names)) < len(names):
        raise ValueError("a domain is named twice")
    rest = 1 - least * len(over)
    if not over or least < 0 or rest <= 0:
        raise ValueError(f"a least share of {least} leaves nothing to divide among {len(over)} domains")
    found = {}
    for size in range(1, len(over) + 1):
        for members in combinations(over, size):
            shares = {name: least + rest / size * (name in members) for name in over}
            found["-".join(members)] = {**shares, **dict.fromkeys(without, 0.0)}
    return found
