"""ClusterLESS: LESS in its limit, shared scores, ties by distance, and clusters that are kept."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from dataflex.engine.component import Context, FloatArray, IntArray
from dataflex.registry import build
from dataflex.signals.embeddings import Embeddings, EmbeddingSource
from dataflex.signals.features import GradientFeatures, Targets

from .conftest import Given

At = Callable[..., Context]
ROWS = 100
# Four directions, a quarter of the rows near each, and nearer the lower the row's number.
CENTRES = np.eye(4, dtype=np.float32).repeat(25, axis=0)
NOISE = np.tile(np.linspace(0.05, 0.3, 25), 4).astype(np.float32)


class Planted(Given):
    """A row's feature is its planted value; embeddings show the four directions."""

    def __init__(self, values: FloatArray) -> None:
        super().__init__(values)
        self.asked = 0

    def embeddings(self, source: EmbeddingSource) -> Embeddings:
        self.asked += 1
        vectors = CENTRES + NOISE[:, None] * np.roll(CENTRES, 25, axis=0)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return Embeddings(vectors, vectors[:6])

    def group_alignment(
        self, targets: Targets, features: GradientFeatures, groups: Sequence[IntArray]
    ) -> FloatArray:
        return np.array([[np.mean(self._losses[group])] for group in groups])


def cluster_less(**params: Any) -> Any:
    return build("select", "cluster_less", params)


def test_clusters_of_one_row_are_less(at: At) -> None:
    signals = Planted(np.random.default_rng(0).normal(size=ROWS))
    chosen = cluster_less(cluster_size=1).select(at(signals=signals), 20)
    assert np.array_equal(chosen, build("select", "less", {}).select(at(signals=signals), 20))  # type: ignore[attr-defined]
    assert signals.asked == 0


def test_representatives_that_are_the_whole_cluster_find_the_best_cluster(at: At) -> None:
    values = np.repeat([0.1, 0.9, -0.5, 0.4], 25) + np.random.default_rng(1).normal(scale=0.01, size=ROWS)
    selector = cluster_less(num_clusters=4, samples_per_cluster=25)
    context = at(signals=Planted(values))
    chosen = selector.select(context, 30)
    assert set(chosen[:25]) == set(range(25, 50))
    # The cluster that the budget cuts gives its rows nearest to the centre.
    distances = selector.state_dict()["distances"]
    assert set(chosen[25:]) <= set(range(75, 100))
    assert distances[chosen[25:]].max() <= np.sort(distances[75:])[4] + 1e-12
    assert context.notes["clusters"] == 4
    assert context.notes["measured_rows"] == 100


@pytest.mark.parametrize("strategy", ["random", "nearest", "farthest"])
def test_representatives_are_few_and_of_their_kind(at: At, strategy: str) -> None:
    seen: list[list[IntArray]] = []

    class Watching(Planted):
        def group_alignment(self, targets: Any, features: Any, groups: Sequence[IntArray]) -> FloatArray:
            seen.append(list(groups))
            return super().group_alignment(targets, features, groups)

    signals = Watching(np.arange(ROWS, dtype=float))
    selector = cluster_less(num_clusters=4, samples_per_cluster=3, representative_strategy=strategy)
    for step in (5, 6):
        selector.select(at(step, signals=signals), 10)
    distances, labels = (selector.state_dict()[key] for key in ("distances", "labels"))
    assert signals.asked == 1
    for groups in seen:
        for cluster, group in enumerate(groups):
            assert (labels[group] == cluster).all()
            order = np.sort(distances[labels == cluster])
            if strategy == "nearest":
                assert sorted(distances[group]) == pytest.approx(order[:3])
            if strategy == "farthest":
                assert sorted(distances[group]) == pytest.approx(order[-3:])
    same = all(np.array_equal(a, b) for a, b in zip(*seen, strict=True))
    assert same == (strategy != "random")


def test_the_clusters_survive_a_crash(at: At) -> None:
    signals = Planted(np.arange(ROWS, dtype=float))
    one, other = cluster_less(num_clusters=4), cluster_less(num_clusters=4)
    first = one.select(at(signals=signals), 10)
    other.load_state_dict(one.state_dict())
    assert np.array_equal(other.select(at(signals=signals), 10), first)
    assert signals.asked == 1
