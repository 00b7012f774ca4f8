"""NEAR: the rows nearest to the validation rows, in turn.

DataFlex (arXiv:2603.26164), selector "near"; no earlier paper defines it. First the nearest row of every
validation row, then the second nearest of every one, and so on; a row that is there already is passed over.
It is close to TSDS (see ``tsds``) with alpha = 1, which gives all weight to closeness and so draws from the
first neighbours alone; NEAR goes on to the next ones until it has as many rows as were asked for.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field, PrivateAttr

from dataflex.engine.component import Context, FloatArray, IntArray
from dataflex.selectors._embedded import EmbeddingSelector
from dataflex.signals.embeddings import Embeddings
from dataflex.signals.neighbours import nearest


class NearSelector(EmbeddingSelector):
    """Take the nearest rows of each validation row in turn: no draw, the same at every update."""

    paper = "arXiv:2603.26164"
    method = "near"

    max_neighbours: Annotated[int, Field(ge=1)] | None = None
    """Neighbours of a validation row that may be taken; none: as many as are needed."""
    _vectors: Embeddings | None = PrivateAttr(default=None)

    def select(self, context: Context, n: int) -> IntArray:
        """Return ``n`` distinct ids, of each validation row in turn, or all that are allowed."""
        if self.scores is not None:
            scores = self.scored(context)
            return np.argsort(-scores, kind="stable")[: min(n, int(np.isfinite(scores).sum()))]
        # Vectors that can't change are not looked up anew: that reads and hashes all texts and the model.
        embeddings = self._vectors or context.signals.embeddings(self.source())
        if self.source().fixed:
            self._vectors = embeddings
        return self._sweep(embeddings, n, context.notes)

    def score(self, embeddings: Embeddings, notes: dict[str, Any]) -> FloatArray:
        """Return minus each row's place in the order, from 0; NaN beyond ``max_neighbours``."""
        order = self._sweep(embeddings, len(embeddings.pool), notes)
        scores = np.full(len(embeddings.pool), np.nan)
        scores[order] = -np.arange(len(order), dtype=np.float64)
        return scores

    def _sweep(self, embeddings: Embeddings, n: int, notes: dict[str, Any]) -> IntArray:
        pool, queries = embeddings.pool, embeddings.validation
        most = min(self.max_neighbours or len(pool), len(pool))
        k = min(2 * -(-n // len(queries)), most)
        while True:
            found = nearest(queries, pool, k, index=self.index, probes=self.probes)
            distinct, first = np.unique(found.ids.T.ravel(), return_index=True)
            if len(distinct) >= n or k == most:
                break
            k = min(2 * k, most)
        notes |= {"neighbours": k, "retrieved": len(distinct)}
        return distinct[np.argsort(first)][:n]
