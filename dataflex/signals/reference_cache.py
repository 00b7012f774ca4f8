"""Token losses of a model on disk: half precision, one value a supervised token, row after row.

The rows are cut into parts of about equally many tokens, which depend on the data alone. A part is one file,
written by one rank and moved into place when it is whole, so that a pass that was killed goes on with the
parts that are missing. The folder is named after what the losses are of: another model, other rows or other
labels have a folder of their own.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import Progress
from torch import nn

from dataflex.arrays import IntArray
from dataflex.collectives import agreed, world
from dataflex.errors import UserError
from dataflex.signals.losses import next_labels
from dataflex.signals.passes import IGNORED, Batch, Rows, token_batches
from dataflex.signals.scores import row_keys

_PART_TOKENS = 2**20
"""Supervised tokens of a part: 2 MiB."""
_MOST_PARTS = 256
"""Each is an open file of every rank."""

Half = npt.NDArray[np.float16]
Measure = Callable[[Batch, torch.Tensor, nn.Module], torch.Tensor]


class CachedLosses:
    """Losses of rows, looked up by row id in memory-mapped files.

    Args:
        files: one a part, in order.
        bounds: first row of each part, and the number of rows.
        offsets: first value of each row, and the number of values.
    """

    def __init__(self, files: Sequence[Path], bounds: IntArray, offsets: IntArray) -> None:
        self._parts = [np.load(file, mmap_mode="r", allow_pickle=False) for file in files]
        self._bounds, self._offsets = bounds, offsets

    def losses(self, rows: torch.Tensor, batch: Batch, labels: torch.Tensor) -> torch.Tensor:
        """Return the losses of a micro-batch, shape ``(B, L)``, fp32, 0 where a position doesn't count.

        Args:
            rows: row ids, shape ``(B,)``.
            batch: not looked at.
            labels: shape ``(B, L)``; padding may lie on either side.

        Raises:
            RuntimeError: other tokens of a row are supervised than when its losses were computed.
        """
        ids = rows.cpu().numpy()
        counted = next_labels(labels) != IGNORED
        sizes = self._offsets[ids + 1] - self._offsets[ids]
        if not np.array_equal(counted.sum(1).cpu().numpy(), sizes):
            raise RuntimeError("the cached reference losses are of rows with other supervised tokens")
        values = np.concatenate([self._of_row(row) for row in ids]).astype(np.float32)
        found = torch.zeros(labels.shape, dtype=torch.float32, device=labels.device)
        return found.masked_scatter_(counted, torch.from_numpy(values).to(labels.device))

    def _of_row(self, row: int) -> Half:
        part = int(np.searchsorted(self._bounds, row, side="right")) - 1
        base = self._offsets[self._bounds[part]]
        values: Half = self._parts[part][self._offsets[row] - base : self._offsets[row + 1] - base]
        return values


def cached_losses(
    cache: Path,
    identity: str,
    load: Callable[[], nn.Module],
    measure: Measure,
    rows: Rows,
    data: Any,
    batch_tokens: int,
) -> CachedLosses:
    """Open the losses of a model on all rows; parts that are missing are computed first, dealt to the ranks.

    The model is loaded only by ranks that have something to compute. All ranks must see the same files.

    Args:
        cache: holds one folder for each model and set of rows.
        identity: of the model and its precision.
        load: the model.
        measure: makes token losses from a batch, its labels and the model; shape ``(B, L)``.
        rows: all rows.
        data: the dataset that they are made of.
        batch_tokens: padded tokens of a batch at the most.

    Raises:
        UserError: on all ranks; the folder can't be written, or a loss is not finite.
    """
    offsets = np.concatenate(([0], np.cumsum(rows.supervised))).astype(np.int64)
    bounds = _bounds(offsets)
    folder = cache / hashlib.sha256(f"{identity} {rows_digest(data)}".encode()).hexdigest()[:16]
    files = [folder / f"part-{number:05d}.npy" for number in range(len(bounds) - 1)]

    def make_missing() -> None:
        rank, size = world()
        tokens = offsets[bounds[1:]] - offsets[bounds[:-1]]
        mine = [n for n in range(rank, len(files), size) if not _is_whole(files[n], int(tokens[n]))]
        if not mine:
            return
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        model = load()
        batches = {n: token_batches(rows.lengths[bounds[n] : bounds[n + 1]], batch_tokens) for n in mine}
        with Progress(transient=True, disable=rank != 0) as progress:
            bar = progress.add_task(
                "Measuring the reference model's losses", total=sum(map(len, batches.values()))
            )
            for number, own in batches.items():
                values = np.empty(int(tokens[number]), np.float16)
                for inside in own:
                    chosen = [int(bounds[number]) + row for row in inside]
                    _fill(values, offsets, int(bounds[number]), chosen, _flat(measure, model, rows, chosen))
                    progress.advance(bar)
                with _writing(folder):
                    _write(files[number], values)

    agreed(make_missing)
    return CachedLosses(files, bounds, offsets)


def rows_digest(data: Any) -> str:
    """Return a digest of a dataset's rows: their tokens, and which of them are supervised."""
    digest = hashlib.sha256("".join(row_keys(data)).encode())
    if "labels" in data.column_names:
        for batch in data.with_format("arrow").select_columns(["labels"]).iter(batch_size=10_000):
            labels = batch["labels"].combine_chunks().flatten().to_numpy()
            digest.update(np.packbits(labels != IGNORED).tobytes())
    return digest.hexdigest()


def _bounds(offsets: IntArray) -> IntArray:
    """Return the first row of each part, and the number of rows."""
    rows, tokens = len(offsets) - 1, int(offsets[-1])
    size = max(_PART_TOKENS, -(-tokens // _MOST_PARTS))
    cuts = np.searchsorted(offsets, np.arange(0, max(tokens, 1), size))
    # Rows without tokens at the end make no part of their own: an empty file can't be mapped.
    return np.unique(np.concatenate(([0], cuts[offsets[cuts] < tokens], [rows]))).astype(np.int64)


def _is_whole(file: Path, tokens: int) -> bool:
    try:
        found = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return False
    return found.dtype == np.float16 and found.shape == (tokens,)


def _flat(measure: Measure, model: nn.Module, rows: Rows, chosen: Sequence[int]) -> Half:
    """Return the losses of the supervised tokens of some rows, one row after the other."""
    batch = rows.batch(chosen)
    labels = batch.pop("labels")
    counted = next_labels(labels) != IGNORED
    if not np.array_equal(counted.sum(1).cpu().numpy(), rows.supervised[list(chosen)]):
        raise RuntimeError("a row has other supervised tokens in a batch than in the data")
    losses: Half = measure(batch, labels, model)[counted].cpu().numpy().astype(np.float16)
    if not np.isfinite(losses).all():
        raise UserError("the reference model has losses that are not finite: its training may have diverged")
    return losses


def _fill(values: Half, offsets: IntArray, first: int, chosen: Sequence[int], flat: Half) -> None:
    """Put the losses of some rows to their places in the part that begins with row ``first``."""
    at = 0
    for row in chosen:
        start, stop = offsets[row] - offsets[first], offsets[row + 1] - offsets[first]
        values[start:stop] = flat[at : at + stop - start]
        at += stop - start


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Tell what the system refuses as a mistake of the user's, which ends all ranks and not this alone."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"reference_cache: {folder} can't be written ({error.strerror}): name another folder"
        ) from None


def _write(file: Path, values: Half) -> None:
    unfinished = file.with_name(f"{file.stem}.{os.getpid()}.tmp.npy")
    try:
        np.save(unfinished, values, allow_pickle=False)
        os.replace(unfinished, file)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise UserError(
            f"reference_cache: {file} can't be written ({error.strerror or error}): make room, or name a "
            "folder on another disk; the parts that are whole are kept"
        ) from None
