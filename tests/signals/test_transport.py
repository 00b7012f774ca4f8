"""Oracle of the transport: the linear programme itself, solved by scipy."""

import numpy as np
import pytest
from scipy.optimize import linprog

from dataflex.signals.assignment import assign
from dataflex.signals.density import density
from dataflex.signals.embeddings import Embeddings
from dataflex.signals.neighbours import nearest
from dataflex.signals.transport import Plan, transport

from .vectors import clustered


def optimum(distances: np.ndarray, densities: np.ndarray, alpha: float, scale: float) -> tuple[float, bool]:
    """Solve min alpha/C sum G d + (1 - alpha) M max rho G; distances and densities have shape ``(M, K)``."""
    count, width = distances.shape
    variables = count * width
    price = np.append(alpha / scale * distances.ravel(), (1 - alpha) * count)
    below = np.hstack([np.diag(densities.ravel()), -np.ones((variables, 1))])
    rows = np.hstack([np.kron(np.eye(count), np.ones(width)), np.zeros((count, 1))])
    done = linprog(price, A_ub=below, b_ub=np.zeros(variables), A_eq=rows, b_eq=np.full(count, 1 / count))
    assert done.success
    return done.fun, done.x[:-1].reshape(count, width)


def objective(plan: Plan, distances: np.ndarray, densities: np.ndarray, alpha: float, scale: float) -> float:
    moved = (plan.mass * distances).sum()
    return alpha / scale * moved + (1 - alpha) * len(distances) * (plan.mass * densities).max()


@pytest.mark.parametrize("seed", range(200))
def test_the_closed_form_is_the_optimum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, width = rng.integers(1, 5), rng.integers(1, 12)
    distances = np.sort(rng.uniform(0, 2, (count, width)), axis=1)
    if seed % 4 == 0:
        # Rows at the same distance: the optimum's value is unique, the plan is not.
        distances = np.round(distances, 1)
    densities = rng.uniform(1, 1 + 4 * (seed % 3), (count, width))
    alpha, scale = rng.uniform(0.02, 0.98), rng.uniform(0.2, 5)
    known = np.full(count, width)
    plan = transport(distances, 1 / densities, known, alpha=alpha, cost_scale=scale)
    best, mass = optimum(distances, densities, alpha, scale)
    assert plan.mass.min() >= 0
    assert plan.mass.sum(1) == pytest.approx(np.full(count, 1 / count))
    assert objective(plan, distances, densities, alpha, scale) == pytest.approx(best, rel=1e-7)
    inside = plan.stop < (1 / densities).sum(1).min() * (1 - 1e-9)
    if seed % 4 and inside:
        assert plan.mass == pytest.approx(mass, abs=1e-7)


def test_what_stands_behind_the_known_neighbours_is_not_read() -> None:
    rng = np.random.default_rng(0)
    distances, weights = np.sort(rng.uniform(0, 2, (3, 9)), axis=1), rng.uniform(0.2, 1, (3, 9))
    known = np.array([4, 9, 6])
    plan = transport(distances, weights, known, alpha=0.6, cost_scale=1.0)
    hidden = np.arange(9) >= known[:, None]
    other = transport(
        np.where(hidden, 0.0, distances), np.where(hidden, 7.0, weights), known, alpha=0.6, cost_scale=1.0
    )
    assert np.array_equal(plan.mass, other.mass)
    assert (plan.mass[hidden] == 0).all()


def test_by_hand() -> None:
    """One query, distances 0, 1, 2, no crowding: F is 0, 1, 1 + 2 at s = 1, 2 (steps of 1 times s)."""
    distances, weights = np.array([[0.0, 1.0, 2.0]]), np.ones((1, 3))
    for alpha, spread in ((0.9, 1), (0.45, 2), (0.1, 3)):
        plan = transport(distances, weights, np.array([3]), alpha=alpha, cost_scale=1.0)
        assert plan.mass[0] == pytest.approx([1 / spread] * spread + [0] * (3 - spread))


def test_a_first_weight_above_the_cap_keeps_its_row_sum() -> None:
    """The authors' heap hands out too much where 1 / rho of the nearest row exceeds s*."""
    distances = np.array([[0.1, 0.2, 1.9], [0.3, 1.5, 1.8]])
    weights = np.array([[0.1, 0.1, 0.1], [1.0, 1.0, 1.0]])
    plan = transport(distances, weights, np.array([3, 3]), alpha=0.9, cost_scale=1.0)
    assert plan.stop < 1
    assert plan.mass.sum(1) == pytest.approx([0.5, 0.5])
    assert plan.mass[1] == pytest.approx([0.5, 0, 0])


POOL, QUERIES = clustered(900, 24, 12, 0.5), clustered(25, 24, 12, 0.5, seed=1)
DEFAULTS = {"alpha": 0.5, "cost_scale": 1.0, "sigma": 0.75, "max_neighbours": 5000}


def test_growing_lists_reach_the_solution_with_all_rows_known() -> None:
    every = nearest(QUERIES, POOL, len(POOL))
    for changes in ({}, {"alpha": 0.2}, {"alpha": 0.05}, {"sigma": 1.2}, {"cost_scale": 5.0}):
        given = DEFAULTS | changes
        rho = density(POOL, np.arange(len(POOL)), given["sigma"])
        plan = transport(
            every.distances,
            1 / rho[every.ids],
            np.full(len(QUERIES), len(POOL)),
            alpha=given["alpha"],
            cost_scale=given["cost_scale"],
        )
        whole = np.bincount(every.ids.ravel(), plan.mass.ravel(), minlength=len(POOL))
        found = assign(Embeddings(POOL, QUERIES), **given)
        assert not found.truncated
        assert found.probabilities.sum() == pytest.approx(1)
        assert found.plan.stop == pytest.approx(plan.stop)
        assert found.probabilities == pytest.approx(whole, abs=1e-9)


def test_without_a_kernel_it_is_the_uniform_distribution_on_neighbours() -> None:
    found = assign(Embeddings(POOL, QUERIES), **DEFAULTS | {"sigma": 0.0})
    k = round(found.plan.stop)
    assert k == found.plan.stop
    expected = np.bincount(nearest(QUERIES, POOL, k).ids.ravel(), minlength=len(POOL)) / (k * len(QUERIES))
    assert found.probabilities == pytest.approx(expected)


@pytest.mark.parametrize("alpha", [1.0, 1 - 1e-9])
def test_alpha_towards_one_is_the_nearest_neighbour(alpha: float) -> None:
    found = assign(Embeddings(POOL, QUERIES), **DEFAULTS | {"alpha": alpha})
    first = nearest(QUERIES, POOL, 1).ids[:, 0]
    assert found.probabilities == pytest.approx(np.bincount(first, minlength=len(POOL)) / len(QUERIES))


def test_duplicates_share_the_mass_of_one_row() -> None:
    """Four copies of every row: the same s*, each copy a quarter of its row's probability."""
    alone = assign(Embeddings(POOL, QUERIES), **DEFAULTS | {"sigma": 1e-3})
    copies = assign(Embeddings(np.tile(POOL, (4, 1)), QUERIES), **DEFAULTS | {"sigma": 1e-3})
    assert copies.densities[~np.isnan(copies.densities)] == pytest.approx(4.0)
    assert copies.plan.stop == pytest.approx(alone.plan.stop)
    assert copies.probabilities == pytest.approx(np.tile(alone.probabilities / 4, 4), abs=1e-9)


def test_lists_that_run_out_are_told() -> None:
    found = assign(Embeddings(POOL, QUERIES), **DEFAULTS | {"alpha": 0.01, "max_neighbours": 20})
    assert found.truncated
    assert found.probabilities.sum() == pytest.approx(1)
    assert not assign(Embeddings(POOL, QUERIES), **DEFAULTS | {"alpha": 1e-6}).truncated
