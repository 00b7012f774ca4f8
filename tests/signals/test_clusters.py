"""Oracles of the clusters: planted ones, scikit-learn from the same start, Lloyd's own invariants."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.cluster import KMeans

from dataflex.signals.clusters import kmeans

from .vectors import clustered

VECTORS = clustered(600, 16, 12, 0.3)


def test_the_same_start_gives_the_same_clusters_as_scikit_learn() -> None:
    start = VECTORS[:12]
    found = kmeans(VECTORS, 12, np.random.default_rng(0), initial=start)
    theirs = KMeans(12, init=start, n_init=1).fit(VECTORS)
    assert np.array_equal(found.labels, theirs.labels_)
    assert found.inertia == pytest.approx(theirs.inertia_)


def test_every_row_belongs_to_its_nearest_centre_which_is_the_mean() -> None:
    found = kmeans(VECTORS, 12, np.random.default_rng(0), tolerance=0.0)
    distances = ((VECTORS[:, None].astype(float) - found.centres[None]) ** 2).sum(2)
    assert np.array_equal(distances.argmin(1), found.labels)
    assert found.inertia == pytest.approx(distances.min(1).sum(), rel=1e-4)
    means = [VECTORS[found.labels == cluster].mean(0) for cluster in range(12)]
    assert found.centres == pytest.approx(np.array(means), abs=1e-5)


def test_inertia_falls_with_every_iteration() -> None:
    start = VECTORS[:12]
    inertia = [
        kmeans(VECTORS, 12, np.random.default_rng(0), initial=start, max_iterations=i, tolerance=0).inertia
        for i in (1, 2, 4, 8)
    ]
    assert all(later <= earlier + 1e-6 for earlier, later in pairwise(inertia))


def test_the_seed_decides_alone() -> None:
    first, again, other = (kmeans(VECTORS, 12, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.labels, again.labels)
    assert not np.array_equal(first.labels, other.labels)


def test_an_order_of_rows_changes_names_at_most() -> None:
    order = np.random.default_rng(3).permutation(600)
    plain = kmeans(VECTORS, 12, np.random.default_rng(0), initial=VECTORS[:12])
    turned = kmeans(VECTORS[order], 12, np.random.default_rng(0), initial=VECTORS[:12])
    assert np.array_equal(turned.labels, plain.labels[order])


def test_no_cluster_is_empty_and_k_is_at_most_the_number_of_rows() -> None:
    far = np.concatenate([VECTORS[:1].repeat(11, axis=0), -VECTORS[:1]])
    found = kmeans(VECTORS, 12, np.random.default_rng(0), initial=far)
    assert len(np.unique(found.labels)) == 12
    assert len(np.unique(kmeans(VECTORS[:5], 12, np.random.default_rng(0)).labels)) == 5
