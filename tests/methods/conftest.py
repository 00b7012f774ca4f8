"""A run without a model: what a component sees of it, as plain arrays."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from dataflex.engine.component import Context, Facts, FloatArray, IntArray, Samples, ValidationFacts
from dataflex.signals.embeddings import Embeddings, EmbeddingSource
from dataflex.signals.features import GradientFeatures, Targets
from dataflex.signals.rollouts import Rollouts, Sampling


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
        validation=ValidationFacts(4, {"dataset": ("v",) * 4, "subject": ("x", "x", "y", "y")}),
    )


class Given:
    """Signals that were not measured: the losses that are given, and fixed numbers for the rest."""

    def __init__(self, losses: FloatArray, embeddings: Embeddings | None = None) -> None:
        self._losses = losses
        self._embeddings = embeddings

    def losses(self) -> FloatArray:
        return self._losses

    def validation_targets(self, groups: IntArray, features: GradientFeatures) -> Targets:
        counts = np.bincount(groups)
        return Targets([torch.ones(len(counts), 1)], counts.tolist(), left_out=0)

    def rollouts(self, sampling: Sampling, seed: int) -> Rollouts:
        """Draw answers A to D; a row's right one is B."""
        letters = np.random.default_rng(seed).choice(list("ABCD"), size=(4, sampling.continuations))
        return Rollouts(
            prompts=tuple(f"question {row}" for row in range(4)),
            references=("B",) * 4,
            texts=tuple(tuple(str(letter) for letter in row) for row in letters),
            prompt_tokens=(np.arange(3),) * 4,
            tokens=tuple(tuple(np.array([ord(letter)]) for letter in row) for row in letters),
            cut=0.25,
        )

    def policy_targets(
        self, rollouts: Rollouts, advantages: FloatArray, groups: IntArray, features: GradientFeatures
    ) -> Targets:
        """Return the summed advantages of each group as its direction."""
        sums = np.bincount(groups, advantages.sum(axis=1))
        return Targets([torch.from_numpy(sums)[:, None]], [1] * len(sums), 0)

    def alignment(
        self, targets: Targets, features: GradientFeatures, rows: IntArray | None = None
    ) -> FloatArray:
        """Return the row's loss times each direction."""
        return self._losses[:, None] * targets.directions[0].numpy().T

    def group_alignment(
        self, targets: Targets, features: GradientFeatures, groups: Sequence[IntArray]
    ) -> FloatArray:
        every = self.alignment(targets, features)
        return np.stack([every[group].mean(0) for group in groups])

    def embeddings(self, source: EmbeddingSource) -> Embeddings:
        if self._embeddings is not None:
            return self._embeddings
        vectors = np.random.default_rng(3).standard_normal((len(self._losses) + 7, 8)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return Embeddings(vectors[:-7], vectors[-7:])

    def validation_states(self, rows: IntArray) -> FloatArray:
        vectors = np.random.default_rng(5).standard_normal((4, 8))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True))[rows]


def samples_with_states(count: int) -> Samples:
    """Samples of a step, each with a vector of its own."""
    states = np.random.default_rng(6).standard_normal((count, 8))
    states /= np.linalg.norm(states, axis=1, keepdims=True)
    return Samples(np.arange(count), np.zeros(count, np.int64), np.full(count, 10), states)


@pytest.fixture
def at(facts: Facts) -> Callable[..., Context]:
    """Make the context of a step; ``losses`` default to rising with the row's number."""

    def context(
        step: int = 5,
        losses: FloatArray | None = None,
        embeddings: Embeddings | None = None,
        *,
        update: int = 0,
        updates: int = 1,
        signals: Any = None,
        samples: Samples | None = None,
        **changes: Any,
    ) -> Context:
        given = np.arange(facts.total_rows, dtype=float) if losses is None else losses
        changed = Facts(**{**vars(facts), **changes})
        return Context(changed, step, update, signals or Given(given, embeddings), updates, samples)

    return context
