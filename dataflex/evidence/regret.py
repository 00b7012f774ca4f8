"""Regret: how much worse than the best of some fixed choices, known only afterwards."""

from __future__ import annotations

from collections.abc import Mapping

from dataflex.errors import UserError

Losses = Mapping[str, Mapping[int, float]]
"""Loss by method and seed."""


def best_by_seed(yardstick: Losses) -> dict[int, tuple[str, float]]:
    """The choice of least loss in each seed, and that loss; of equal ones the first by name.

    Raises:
        UserError: there is no choice, or one lacks a seed that another has: their minima would not compare.
    """
    seeds = sorted({seed for losses in yardstick.values() for seed in losses})
    if not seeds:
        raise UserError("regret needs a yardstick: at least one static mixture")
    for name, losses in yardstick.items():
        missing = [seed for seed in seeds if seed not in losses]
        if missing:
            raise UserError(f"{name} lacks seed {missing[0]}: run the whole yardstick with every seed")
    found = {}
    for seed in seeds:
        loss, name = min((losses[seed], name) for name, losses in yardstick.items())
        found[seed] = (name, loss)
    return found


def regret(losses: Mapping[int, float], best: Mapping[int, tuple[str, float]]) -> dict[int, float]:
    """Loss of each seed less the yardstick's of the same seed; negative where the yardstick was beaten.

    Raises:
        UserError: the yardstick lacks a seed.
    """
    for seed in losses:
        if seed not in best:
            raise UserError(f"the yardstick lacks seed {seed}: run its static mixtures with it")
    return {seed: loss - best[seed][1] for seed, loss in losses.items()}
