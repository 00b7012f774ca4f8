"""Projected gradients of rows on disk, to be asked again for other validation sets."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib.format import open_memmap

from dataflex.arrays import FloatArray, IntArray
from dataflex.collectives import sum_over_ranks, world
from dataflex.errors import UserError

_META = "store.json"
_BLOCK = 4096


class GradientStore:
    """Unit vectors in half precision, one a row of the pool, in a memory-mapped file a rank.

    A vector's entries are at most 1, so that half precision never overflows; what it rounds (relative 5e-4
    an entry) is far below the error of the projection.

    Args:
        folder: where the files lie; made when it does not exist.
        rows: rows of the pool.
        dimension: of the projection.
        about: what the vectors are of: projection, features, step, data.

    Raises:
        UserError: the disk has no room for the vectors.
    """

    def __init__(self, folder: Path, rows: int, dimension: int, about: dict[str, Any]) -> None:
        self.folder = folder
        rank, _ = world()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _META).unlink(missing_ok=True)
        self._about = about | {"rows": rows, "dimension": dimension}
        file = folder / f"rank-{rank}.npy"
        try:
            self._vectors = open_memmap(file, mode="w+", dtype=np.float16, shape=(rows, dimension))
            _reserve(file)
        except OSError as error:
            file.unlink(missing_ok=True)
            raise UserError(
                f"the gradient store {folder} can't be written ({error.strerror or error}): it needs "
                f"{rows * dimension * 2 / 2**20:.1f} MiB a rank; make room, lower proj_dim, or set "
                "keep_gradients: false"
            ) from None

    def write(self, rows: IntArray, vectors: torch.Tensor) -> None:
        """Write the vectors of some rows, normalised. ``vectors``: shape ``(len(rows), dimension)``."""
        unit = torch.nn.functional.normalize(vectors, dim=1)
        self._vectors[rows] = unit.cpu().numpy().astype(np.float16)

    def close(self) -> None:
        """Make the files complete; the description comes last."""
        self._vectors.flush()
        rank, size = world()
        # All ranks' files are whole before the first one says so.
        sum_over_ranks(torch.zeros(1))
        if rank == 0:
            (self.folder / _META).write_text(json.dumps(self._about | {"ranks": size}, indent=2))


def _reserve(file: Path) -> None:
    """Take a mapped file's blocks now: a disk that fills up later would kill the process without a word."""
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, file.stat().st_size)


def query(folder: Path, directions: npt.NDArray[np.float32]) -> FloatArray:
    """Return the inner product of every stored vector with each direction, block by block.

    Args:
        folder: of a closed store.
        directions: shape ``(groups, dimension)``.

    Raises:
        UserError: no complete store, or another dimension.
    """
    about = describe(folder)
    if about["dimension"] != directions.shape[1]:
        raise UserError(
            f"{folder} holds vectors of {about['dimension']} dimensions, not {directions.shape[1]}"
        )
    scores = np.zeros((about["rows"], len(directions)))
    for rank in range(about["ranks"]):
        vectors = np.load(folder / f"rank-{rank}.npy", mmap_mode="r", allow_pickle=False)
        for start in range(0, len(vectors), _BLOCK):
            block = vectors[start : start + _BLOCK].astype(np.float32)
            # A row lies in one rank's file; in the others it is zero.
            scores[start : start + _BLOCK] += block @ directions.T
    return scores


def describe(folder: Path) -> dict[str, Any]:
    """Return what a store holds.

    Raises:
        UserError: no complete store.
    """
    if not (folder / _META).is_file():
        raise UserError(f"{folder} holds no complete gradient store")
    return dict(json.loads((folder / _META).read_text()))
