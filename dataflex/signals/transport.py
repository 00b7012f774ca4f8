"""The transport that TSDS samples from, solved in closed form.

TSDS (Liu et al., NeurIPS 2024, arXiv:2410.11303), problem (2) with the KNN-KDE regulariser: a plan
``G >= 0`` moves mass 1/M from every query to pool rows and minimises

    alpha / C sum_ij G_ij d_ij + (1 - alpha) M max_ij rho_j G_ij .

Let 1/s be the maximum's value. Row j then takes at most w_j / (M s) of a query, w_j = 1 / rho_j, so a query
fills its neighbours in the order of their distance until their weights add up to s. With S_ik and D_ik the
sums of w and w d over the k nearest, the objective's slope in 1/s is, up to positive factors,

    F(s) - C M (1 - alpha) / alpha ,     F(s) = sum_i sum_{k: S_ik <= s} (d_{i,k+1} - d_ik) S_ik ,

and F is a rising step function: the optimum s* is the first of all S_ik at which F reaches C M (1 - alpha) /
alpha. One sort and one running sum find it. The authors' heap sweeps the same steps one at a time; where a
query's first weight exceeds s* it hands out more than 1/M, which the filling here does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dataflex.arrays import FloatArray, IntArray


@dataclass(frozen=True)
class Plan:
    """An optimal plan on the neighbours that are known."""

    mass: FloatArray
    """G at each query's neighbours, shape ``(M, K)``; a row sums to 1/M."""
    stop: float
    """s*: each query spreads over neighbours whose weights add up to it."""
    bound: float
    """A value that s* can't exceed if more neighbours were known; infinite if F never arrives."""


def transport(
    distances: FloatArray, weights: FloatArray, known: IntArray, *, alpha: float, cost_scale: float
) -> Plan:
    """Return the optimal plan among each query's known neighbours.

    It is optimal among all rows if ``stop`` is smaller than the weights of each query's known neighbours
    together, or if all rows are known.

    Args:
        distances: of each query's neighbours, rising, shape ``(M, K)``.
        weights: ``1 / rho`` of these neighbours, same shape.
        known: number of neighbours of each query that are known, shape ``(M,)``; what stands behind them is
            not read.
        alpha: weight of closeness against spread, in ``(0, 1]``; at 1 the limit from below.
        cost_scale: the C that distances are divided by.
    """
    count, width = distances.shape
    inside = np.arange(width) < known[:, None]
    weights = np.where(inside, weights, 0.0)
    sums = np.cumsum(weights, axis=1)
    steps = np.zeros_like(sums)
    steps[:, :-1] = np.where(inside[:, 1:], np.diff(distances, axis=1, append=np.nan)[:, :-1], 0.0)
    places = np.flatnonzero(steps > 0)
    order = places[np.argsort(sums.ravel()[places], kind="stable")]
    risen = np.cumsum(steps.ravel()[order] * sums.ravel()[order])
    target = cost_scale * count * (1 - alpha) / alpha
    first = int(np.searchsorted(risen, target))
    bound = float(sums.ravel()[order[first]]) if first < len(order) else np.inf
    # No query can spread over more than it knows.
    stop = min(bound, float(sums[:, -1].min()))
    return Plan(_fill(distances, weights, sums, inside, stop) / (count * stop), stop, bound)


def _fill(
    distances: FloatArray, weights: FloatArray, sums: FloatArray, inside: npt.NDArray[np.bool_], stop: float
) -> FloatArray:
    """Return how much of each weight is used; neighbours at one distance use the same share of theirs."""
    width = weights.shape[1]
    columns = np.broadcast_to(np.arange(width), weights.shape)
    starts = np.ones(weights.shape, bool)
    starts[:, 1:] = (distances[:, 1:] != distances[:, :-1]) | ~inside[:, 1:]
    first = np.maximum.accumulate(np.where(starts, columns, 0), axis=1)
    ends = np.ones(weights.shape, bool)
    ends[:, :-1] = starts[:, 1:]
    last = np.minimum.accumulate(np.where(ends, columns, width - 1)[:, ::-1], axis=1)[:, ::-1]
    before = np.take_along_axis(sums - weights, first, 1)
    together = np.take_along_axis(sums, last, 1) - before
    share = np.divide(
        np.clip(stop - before, 0, together), together, out=np.zeros_like(weights), where=together > 0
    )
    used = weights * share
    # The last group of a query takes what is left exactly, so that rounding moves no mass between queries.
    return used * (stop / used.sum(axis=1, keepdims=True))
