"""Unit vectors with structure: clusters, near-duplicates and exact duplicates."""

import numpy as np


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def clustered(count: int, dimension: int, centres: int, noise: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    middle = rng.standard_normal((centres, dimension))
    return unit(middle[rng.integers(0, centres, count)] + noise * rng.standard_normal((count, dimension)))


def true_distances(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.sqrt(((some[:, None].astype(np.float64) - others[None]) ** 2).sum(2))
