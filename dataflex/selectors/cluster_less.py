"""ClusterLESS: LESS on a few representatives of each cluster of similar rows.

DataFlex's selector "cluster_less"; no paper defines it. Rows are clustered once by their embeddings. At every
update the gradient features of a few rows of each cluster are measured, and all rows of a cluster get the
score of their representatives' normalised mean feature. With clusters of one row it is LESS.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from dataflex.engine.component import Context, FloatArray, IntArray
from dataflex.selectors._influence import InfluenceSelector
from dataflex.signals.clusters import kmeans
from dataflex.signals.embeddings import EmbeddingSource
from dataflex.signals.features import GradientFeatures, Targets


class ClusterLessSelector(InfluenceSelector):
    """Take the clusters of rows whose representatives' Adam steps point along the validation gradients."""

    needs = frozenset({"validation_set", "per_sample_gradient", "embeddings"})
    paper = "arXiv:2603.26164"
    example = {"cluster_size": 8}

    cluster_size: Annotated[int, Field(ge=1)] = 64
    """Mean number of rows of a cluster; 1 makes a cluster of every row."""
    num_clusters: Annotated[int, Field(ge=1)] | None = None
    """Number of clusters, instead of cluster_size."""
    samples_per_cluster: Annotated[int, Field(ge=1)] = 4
    """Representatives of a cluster; a smaller cluster is represented by all of its rows."""
    representative_strategy: Literal["random", "nearest", "farthest"] = "random"
    """Which rows stand for a cluster: drawn anew at every update, or by their distance from its centre."""
    embedding_model: str | None = None
    """Folder or hub name of an embedding model; none: the model in training, as it is at the first update."""

    _labels: IntArray | None = None
    _distances: FloatArray | None = None

    def targets(self, context: Context, groups: IntArray, features: GradientFeatures) -> Targets:
        """Return the mean unit gradient of each subtask."""
        return context.signals.validation_targets(groups, features)

    def scores(self, context: Context) -> FloatArray:
        """Return the alignment of each row's cluster with every subtask."""
        labels, distances = self._clusters(context)
        features = self.features(context)
        targets = self.targets(context, self.groups(context), features)
        self.note_targets(context, targets)
        rng = context.rng("representatives")
        representatives = []
        for members in np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels))[:-1]):
            keys = {
                "random": rng.random(len(members)),
                "nearest": distances[members],
                "farthest": -distances[members],
            }[self.representative_strategy]
            representatives.append(members[np.argsort(keys, kind="stable")[: self.samples_per_cluster]])
        context.notes.update(clusters=len(representatives), measured_rows=sum(map(len, representatives)))
        return context.signals.group_alignment(targets, features, representatives)[labels]

    def order(self, scores: FloatArray) -> IntArray:
        """Return rows best first; within a cluster, which has one score, the rows nearest to its centre."""
        assert self._distances is not None
        return np.lexsort((self._distances, -scores))

    def _clusters(self, context: Context) -> tuple[IntArray, FloatArray]:
        """Return the cluster of each row, numbered without gaps, and its distance from the centre."""
        if self._labels is None or self._distances is None:
            rows = context.facts.total_rows
            count = self.num_clusters or -(-rows // self.cluster_size)
            if count >= rows:
                self._labels, self._distances = np.arange(rows), np.zeros(rows)
            else:
                vectors = context.signals.embeddings(EmbeddingSource(model=self.embedding_model)).pool
                found = kmeans(vectors, count, context.rng("clusters"))
                # Numbered without gaps, should a cluster be empty.
                self._labels = np.unique(found.labels, return_inverse=True)[1].astype(np.int64)
                self._distances = found.distances(vectors)
        return self._labels, self._distances

    def state_dict(self) -> dict[str, Any]:
        """Return the clusters, which are made once."""
        if self._labels is None:
            return {}
        return {"labels": self._labels, "distances": self._distances}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the clusters."""
        self._labels, self._distances = state.get("labels"), state.get("distances")
