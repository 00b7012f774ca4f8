"""Markov chains of a few symbols: their entropies are computed, not estimated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dataflex.arrays import FloatArray, IntArray

LEAK = 0.02
"""Share of every drawn row that is uniform: any symbol can follow any other, and a chain has one stationary
distribution."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A Markov chain over ``V`` symbols that starts from its stationary distribution.

    Attributes:
        transition: probability of the column's symbol after the row's, all positive, shape ``(V, V)``.
        stationary: probability of each symbol, shape ``(V,)``.
    """

    transition: FloatArray
    stationary: FloatArray

    @property
    def entropy_rate(self) -> float:
        """Expected loss of a symbol given the one before, in nats: the sum over i of pi_i H(P_i)."""
        return float(self.stationary @ _entropy(self.transition))

    def entropy(self, symbols: int) -> float:
        """Expected loss a symbol, in nats, over a document of n symbols: (H(pi) + (n - 1) rate) / n."""
        return (float(_entropy(self.stationary)) + (symbols - 1) * self.entropy_rate) / symbols

    def draw(self, documents: int, symbols: int, rng: np.random.Generator) -> IntArray:
        """Draw documents, as numbers of symbols, shape ``(documents, symbols)``."""
        found = np.empty((documents, symbols), np.int64)
        choices = rng.random((documents, symbols, 1))
        found[:, 0] = _chosen(np.cumsum(self.stationary), choices[:, 0])
        cumulative = np.cumsum(self.transition, axis=1)
        for place in range(1, symbols):
            found[:, place] = _chosen(cumulative[found[:, place - 1]], choices[:, place])
        return found

    def log_likelihood(self, documents: IntArray) -> FloatArray:
        """Return the log-probability of each document in nats, shape ``(documents,)``."""
        first: FloatArray = np.log(self.stationary)[documents[:, 0]]
        steps: FloatArray = np.log(self.transition)[documents[:, :-1], documents[:, 1:]]
        return first + steps.sum(axis=1)


def _entropy(probabilities: FloatArray) -> FloatArray:
    """Entropy in nats over the last axis."""
    entropies: FloatArray = -(probabilities * np.log(probabilities)).sum(axis=-1)
    return entropies


def _chosen(cumulative: FloatArray, choice: FloatArray) -> IntArray:
    """Symbols that uniform numbers choose, by the inverse of the distribution function."""
    # Rounding can leave the last sum below one, and a number above it.
    return np.asarray((cumulative[..., :-1] <= choice).sum(axis=1), np.int64)


def stationary(transition: FloatArray) -> FloatArray:
    """The distribution with pi P = pi, of a chain in which any symbol can follow any other."""
    size = len(transition)
    # These equations add up to zero, so that one of them can make room for sum(pi) = 1.
    equations = transition.T - np.eye(size)
    equations[-1] = 1.0
    return np.asarray(np.linalg.solve(equations, np.eye(size)[-1]), np.float64)


def uniform_chain(size: int) -> Chain:
    """The chain of which nothing can be learned but its alphabet."""
    return Chain(np.full((size, size), 1 / size), np.full(size, 1 / size))


def random_chain(size: int, concentration: float, rng: np.random.Generator) -> Chain:
    """Draw a chain whose rows are Dirichlet distributed, up to ``LEAK``.

    Args:
        size: symbols.
        concentration: of the Dirichlet distribution; the smaller, the more predictable the chain.
        rng: where the rows come from.
    """
    rows = (1 - LEAK) * rng.dirichlet(np.full(size, concentration), size) + LEAK / size
    return Chain(rows, stationary(rows))


def related_chain(parent: Chain, own: Chain, share: float, rng: np.random.Generator) -> Chain:
    """A chain with the rows of ``parent``, but for a share of them, drawn at random, which are of ``own``."""
    size = len(parent.transition)
    replaced = rng.permutation(size)[: round(share * size)]
    rows = parent.transition.copy()
    rows[replaced] = own.transition[replaced]
    return Chain(rows, stationary(rows))
