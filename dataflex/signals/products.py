"""Blocks of vectors from an array or a memory map, and their inner products in full fp32."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dataflex.arrays import IntArray

# Its attributes differ between versions of torch.
_BACKENDS: Any = torch.backends

Vectors = npt.NDArray[np.float32]


def product_device() -> torch.device:
    """Return where large products are made: this process's GPU, or another accelerator, or the CPU."""
    if torch.accelerator.is_available():
        return torch.accelerator.current_accelerator() or torch.device("cpu")
    return torch.device("cpu")


def block(vectors: Vectors, start: int, stop: int, device: torch.device) -> torch.Tensor:
    """Return rows ``start`` to ``stop`` on a device; of a memory map only those are read."""
    return _tensor(vectors[start:stop]).to(device)


def gather(vectors: Vectors, rows: IntArray, device: torch.device) -> torch.Tensor:
    """Return the given rows on a device, shape ``(len(rows), D)``."""
    return _tensor(vectors).index_select(0, torch.from_numpy(rows)).to(device)


def _tensor(vectors: Vectors) -> torch.Tensor:
    with warnings.catch_warnings():
        # A memory map that is open for reading alone is never written to here either.
        warnings.filterwarnings("ignore", message=".*not writable")
        return torch.from_numpy(np.asarray(vectors))


@contextmanager
def full_precision() -> Iterator[None]:
    """Make fp32 products in fp32 for a block: a training run may have allowed TF32, whose error is 1e-3."""
    if not hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        # torch before 2.9.
        precision = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(precision)
        return
    # The older functions refuse where a run's tf32 was asked for by these.
    makers = [_BACKENDS.cuda.matmul, _BACKENDS.mkldnn.matmul]
    before = [_own_precision(maker) for maker in makers]
    for maker in makers:
        maker.fp32_precision = "ieee"
    try:
        yield
    finally:
        for maker, precision in zip(makers, before, strict=True):
            maker.fp32_precision = precision


def _own_precision(maker: Any) -> str:
    """Return what was set for one maker of products; ``none``: it follows what is set for all of them."""
    own: str = maker.fp32_precision
    return "none" if own == _BACKENDS.fp32_precision else own


def rounding(dimension: int) -> float:
    """Return how far an fp32 inner product of two unit vectors is from the true one at the most.

    The last additions round to a few units of 2^-24; the others add up like a random walk, with the root of
    their number (Higham and Mary 2019). The largest of a million errors measured is less than half of this,
    from 32 to 4,096 dimensions.
    """
    return (12 + float(np.sqrt(dimension)) / 2) * 2.0**-24
