"""Random projections of gradients, parameter by parameter, that never hold a matrix of the whole model."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch

BLOCK = 2**22
"""Entries of a projection that are made at once."""
KEPT_BYTES = 2**30
"""Sparse projections are kept for the next batch, on the device of the gradients, up to this size in all; the
rest is made anew each time."""


@dataclass(frozen=True)
class Projection:
    """A projection whose entries follow from the seed, the parameter and the element alone.

    The inner product of two projected vectors estimates that of the vectors with a relative error of about
    ``1 / sqrt(dimension)``, for both kinds (Achlioptas 2003; Charikar et al. 2002, Kane and Nelson 2014).
    """

    kind: Literal["sparse", "dense"]
    """sparse: every element goes to one place with a random sign; dense: random signs everywhere, which
    costs ``dimension`` times as much."""
    dimension: int
    seed: int

    def apply(self, parameter: int, gradients: torch.Tensor) -> torch.Tensor:
        """Project one parameter's part; the projection of a whole gradient is the sum over parameters.

        Args:
            parameter: index of the parameter.
            gradients: shape ``(n, elements)``, fp32.

        Returns:
            Shape ``(n, dimension)``, fp32.
        """
        total = gradients.new_zeros(len(gradients), self.dimension)
        step = BLOCK if self.kind == "sparse" else max(1, BLOCK // self.dimension)
        for block, start in enumerate(range(0, gradients.shape[1], step)):
            part = gradients[:, start : start + step]
            key = _Key(self.dimension, self.seed, parameter, block, part.shape[1])
            if self.kind == "sparse":
                total += (_sparse(key, gradients.device) @ part.T).T
            else:
                total += part @ _dense(key).to(gradients)
        return total if self.kind == "sparse" else total / self.dimension**0.5


class _Key(NamedTuple):
    """What the signs and places of a block of elements follow from."""

    dimension: int
    seed: int
    parameter: int
    block: int
    elements: int

    def rng(self) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.parameter, self.block])


_kept: dict[tuple[_Key, torch.device], torch.Tensor] = {}


def _sparse(key: _Key, device: torch.device) -> torch.Tensor:
    """Return a block of the sparse projection, shape ``(dimension, elements)``, in compressed rows."""
    if (key, device) in _kept:
        return _kept[key, device]
    rng = key.rng()
    places = rng.integers(0, key.dimension, key.elements)
    signs = rng.integers(0, 2, key.elements).astype(np.float32) * 2 - 1
    order = np.argsort(places, kind="stable").astype(np.int32)
    ends = np.concatenate(([0], np.cumsum(np.bincount(places, minlength=key.dimension)))).astype(np.int32)
    with warnings.catch_warnings():
        # torch says at each first use that compressed rows are new.
        warnings.simplefilter("ignore", UserWarning)
        matrix = torch.sparse_csr_tensor(
            torch.from_numpy(ends),
            torch.from_numpy(order),
            torch.from_numpy(signs[order]),
            size=(key.dimension, key.elements),
            check_invariants=False,
        ).to(device)
    if 8 * sum(kept.elements for kept, _ in (*_kept, (key, device))) <= KEPT_BYTES:
        _kept[key, device] = matrix
    return matrix


def _dense(key: _Key) -> torch.Tensor:
    """Return the signs of a block of the dense projection, shape ``(elements, dimension)``."""
    bits = key.rng().integers(0, 2, (key.elements, key.dimension), dtype=np.int8)
    return torch.from_numpy(bits).mul_(2).sub_(1)
