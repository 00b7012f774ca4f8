"""A run without a model: what a component sees of it, as plain arrays."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from dataflex.engine.component import Context, Facts, FloatArray, IntArray, ValidationFacts
from dataflex.signals.features import GradientFeatures, Targets


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
        validation=ValidationFacts(6, {"dataset": ("v",) * 6, "subject": tuple("abcabc")}),
    )


class Given:
    """Signals that were not measured: the losses that are given, and fixed numbers for the rest."""

    def __init__(self, losses: FloatArray) -> None:
        self._losses = losses

    def losses(self) -> FloatArray:
        return self._losses

    def validation_targets(self, groups: IntArray, features: GradientFeatures) -> Targets:
        counts = np.bincount(groups)
        return Targets([torch.ones(len(counts), 2)], counts.tolist(), left_out=0)

    def alignment(
        self, targets: Targets, features: GradientFeatures, rows: IntArray | None = None
    ) -> FloatArray:
        every = np.random.default_rng(0).normal(size=(len(self._losses), len(targets.counts)))
        return every if rows is None else every[rows]

    def group_alignment(
        self, targets: Targets, features: GradientFeatures, groups: Sequence[IntArray]
    ) -> FloatArray:
        every = self.alignment(targets, features)
        return np.stack([every[group].mean(0) for group in groups])


@pytest.fixture
def at(facts: Facts) -> Callable[..., Context]:
    """Make the context of a step; ``losses`` default to rising with the row's number."""

    def context(
        step: int = 5,
        losses: FloatArray | None = None,
        *,
        update: int = 0,
        updates: int = 1,
        signals: Any = None,
        **changes: int,
    ) -> Context:
        given = np.arange(facts.total_rows, dtype=float) if losses is None else losses
        changed = Facts(**{**vars(facts), **changes})
        return Context(changed, step, update, signals or Given(given), updates)

    return context
