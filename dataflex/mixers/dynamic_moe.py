"""Mixing by expert load: Dynamic Data Mixing for mixture-of-experts models (Zhu et al., arXiv 2406.11256).

A domain whose tokens go to other experts than those of the rest is less redundant and gets more weight. With
``o_i`` the shares of domain i's routed tokens that each expert gets, and ``D_i`` the mean distance of ``o_i``
to the loads of all domains (itself among them),

    a = softmax(log w + eta D),    w <- (1 - c) a + c / domains.

The authors measure loads on held-out rows and count padding. Here they are counted in the training forward
since the last update, padding left out, which costs no forward. A domain that had no token since then has no
load: its weight takes no part in the softmax.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, PrivateAttr

from dataflex.engine.component import Context, FloatArray, Mixer, Mixture, Need, StepLosses


class DynamicMoeMixer(Mixer):
    """Draw more from domains whose tokens are routed to other experts than the rest's."""

    needs = frozenset({"router_counts"})
    paper = "arXiv:2406.11256"

    eta: Annotated[float, Field(gt=0)] = 10.0
    """Step size of the weights' logarithms."""
    c: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of the equal mixture in every update."""
    layer: Literal["last", "mean", "all"] = "last"
    """last: loads of the last layer with experts; mean: the mean of the distances in each layer; all:
    distances of the loads of all layers side by side."""
    metric: Literal["l2", "cos", "js"] = "l2"
    """l2: Euclidean distance of loads; cos: one minus their cosine; js: Jensen-Shannon distance, in nats."""
    freeze_gate: bool = True
    """Do not train the routers, so that loads stay comparable, as the authors do. Nothing else is frozen."""

    _weights: FloatArray | None = PrivateAttr(None)
    _counts: FloatArray | None = PrivateAttr(None)
    """Tokens since the last update, shape ``(domains, layers, experts)``."""

    def requirements(self) -> frozenset[Need]:
        """Return router counts, and frozen routers if asked for."""
        frozen: frozenset[Need] = frozenset({"frozen_routers"} if self.freeze_gate else ())
        return self.needs | frozen

    def observe(self, losses: StepLosses, step: int) -> None:
        """Add a step's counts."""
        assert losses.router_counts is not None
        self._counts = losses.router_counts + (0 if self._counts is None else self._counts)

    def update(self, context: Context) -> Mixture:
        """Return the next weights; those of now if nothing was seen since the last update."""
        weights = context.facts.proportions if self._weights is None else self._weights
        if self._counts is not None:
            seen = self._counts.sum(axis=(1, 2)) > 0
            distances = self.distances(self._counts[seen])
            context.notes["distances"] = dict(
                zip(np.array(context.facts.domains)[seen].tolist(), distances.tolist(), strict=True)
            )
            weights = self.next_weights(weights, distances, seen)
        self._weights, self._counts = np.array(weights), None
        return Mixture(self._weights)

    def distances(self, counts: FloatArray) -> FloatArray:
        """Return the mean distance of each domain's load to all of them.

        Args:
            counts: shape ``(domains, layers, experts)``; every domain has some.
        """
        if self.layer == "last":
            layers = [counts[:, -1]]
        elif self.layer == "mean":
            layers = [counts[:, layer] for layer in range(counts.shape[1])]
        else:
            layers = [counts.reshape(len(counts), -1)]
        loads = [layer / layer.sum(axis=1, keepdims=True) for layer in layers]
        return np.mean([_between(load, self.metric).mean(axis=1) for load in loads], axis=0)

    def next_weights(
        self, weights: FloatArray, distances: FloatArray, seen: npt.NDArray[np.bool_]
    ) -> FloatArray:
        """Return the weights after an update.

        Args:
            weights: of now, shape ``(domains,)``; they sum to one.
            distances: of the domains that have been seen.
            seen: which these are, shape ``(domains,)``.
        """
        moved = np.array(weights)
        if distances.size:
            odds = moved[seen] * np.exp(self.eta * (distances - distances.max()))
            if odds.sum() > 0:
                moved[seen] = weights[seen].sum() * odds / odds.sum()
        return (1 - self.c) * moved + self.c / len(moved)

    def state_dict(self) -> dict[str, Any]:
        """Return the weights, and what was counted since the last update."""
        state = {"weights": self._weights, "counts": self._counts}
        return {key: value for key, value in state.items() if value is not None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore weights and counts."""
        self._weights, self._counts = state.get("weights"), state.get("counts")


def _between(loads: FloatArray, metric: str) -> FloatArray:
    """Return the distances between loads, shape ``(domains, domains)``; each load sums to one."""
    one, other = loads[:, None], loads[None]
    if metric == "l2":
        return np.asarray(np.linalg.norm(one - other, axis=2))
    if metric == "cos":
        unit = loads / np.linalg.norm(loads, axis=1, keepdims=True)
        return np.maximum(1 - unit @ unit.T, 0)
    middle = (one + other) / 2
    return np.sqrt(np.maximum((_entropy_to(one, middle) + _entropy_to(other, middle)) / 2, 0))


def _entropy_to(loads: FloatArray, middle: FloatArray) -> FloatArray:
    """Return the Kullback-Leibler divergence of loads from the middle, over the last axis."""
    ratio = np.divide(loads, middle, out=np.ones_like(middle), where=loads > 0)
    return (loads * np.log(ratio)).sum(axis=2)
