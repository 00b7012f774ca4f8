"""A run without a model: what a component sees of it, as plain arrays."""

from collections.abc import Callable

import numpy as np
import pytest

from dataflex.engine.component import Context, Facts, FloatArray
from dataflex.signals.embeddings import Embeddings, EmbeddingSource


@pytest.fixture
def facts() -> Facts:
    return Facts(
        domains=("a", "b", "c"),
        rows=np.array([40, 30, 30]),
        loss_tokens=np.array([400, 300, 600]),
        proportions=np.array([0.4, 0.3, 0.3]),
        seed=11,
        batch_rows=4,
        total_steps=50,
    )


class Given:
    """Signals that were not measured."""

    def __init__(self, losses: FloatArray, embeddings: Embeddings | None = None) -> None:
        self._losses = losses
        self._embeddings = embeddings

    def losses(self) -> FloatArray:
        return self._losses

    def embeddings(self, source: EmbeddingSource) -> Embeddings:
        if self._embeddings is not None:
            return self._embeddings
        vectors = np.random.default_rng(3).standard_normal((len(self._losses) + 7, 8)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return Embeddings(vectors[:-7], vectors[-7:])


@pytest.fixture
def at(facts: Facts) -> Callable[..., Context]:
    """Make the context of a step; ``losses`` default to rising with the row's number."""

    def context(
        step: int = 5,
        losses: FloatArray | None = None,
        embeddings: Embeddings | None = None,
        **changes: int,
    ) -> Context:
        given = np.arange(facts.total_rows, dtype=float) if losses is None else losses
        changed = Facts(**{**vars(facts), **changes})
        return Context(changed, step, update=0, signals=Given(given, embeddings))

    return context
