"""A run without a model: what a component sees of it, as plain arrays."""

from collections.abc import Callable

import numpy as np
import pytest

from dataflex.engine.component import Facts, FloatArray, SelectionContext


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


@pytest.fixture
def at(facts: Facts) -> Callable[..., SelectionContext]:
    """Make the context of a step; ``losses`` default to rising with the row's number."""

    def context(step: int = 5, losses: FloatArray | None = None, **changes: int) -> SelectionContext:
        given = np.arange(facts.total_rows, dtype=float) if losses is None else losses
        changed = Facts(**{**vars(facts), **changes})
        return SelectionContext(changed, step, update=0, losses=lambda: given)

    return context
