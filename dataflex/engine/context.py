"""What a component sees of the run when it decides."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dataflex.arrays import FloatArray, IntArray
from dataflex.engine.facts import Facts
from dataflex.engine.signals import Signals


@dataclass(frozen=True)
class Samples:
    """Samples of an optimizer step: what is known of them beside their losses."""

    rows: IntArray
    """Row ids, shape ``(n,)``."""
    domains: IntArray
    """Domain of each."""
    loss_tokens: IntArray
    """Supervised tokens of each."""
    states: FloatArray | None = None
    """One vector a sample, shape ``(n, H)``, from the last hidden states of the training forward: means whose
    weights rise with the position (``signals.states``); None unless ``hidden_states`` is needed."""


@dataclass(frozen=True)
class Context:
    """A decision's view of the run at one step."""

    facts: Facts
    step: int
    update: int
    """Index of this decision among those of its component, from 0."""
    signals: Signals
    updates: int = 1
    """Decisions between two warm-ups, or of the whole run when there is only one."""
    samples: Samples | None = None
    """What a weighter weighs; None where no samples are looked at."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What the component wants kept with its decision: JSON types go to the plan log; arrays with one value a
    row of the pool are saved beside the selection."""

    def rng(self, purpose: str) -> np.random.Generator:
        """Return a generator that depends on seed, step and ``purpose`` alone: equal on every rank.

        The global generators of the process are never touched.
        """
        return np.random.default_rng([self.facts.seed, self.step, zlib.crc32(purpose.encode())])
