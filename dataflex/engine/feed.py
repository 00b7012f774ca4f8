"""Brings the rows of each optimizer step, in the order that was decided, to this rank.

A torch ``DataLoader`` is opened for one segment at a time and closed with it, so that its workers can read
ahead within a segment but never across a decision. It is not given to accelerate: which rows are this
rank's is part of the order, and nothing needs to be remembered of it in a checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from dataflex.arrays import IntArray
from dataflex.collectives import world

ROW_IDS = "row_ids"
"""Key of a batch that holds its row ids; it is taken out before the model's forward."""


class _NumberedRows(Dataset[tuple[int, dict[str, Any]]]):
    def __init__(self, rows: Any) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[int, dict[str, Any]]:
        return index, self._rows[index]


class _Collate:
    """The host's collator, with the row ids beside its tensors (a class, so that workers can receive it)."""

    def __init__(self, collator: Callable[[list[dict[str, Any]]], Any]) -> None:
        self._collator = collator

    def __call__(self, numbered: list[tuple[int, dict[str, Any]]]) -> dict[str, Any]:
        batch = dict(self._collator([row for _, row in numbered]))
        batch[ROW_IDS] = torch.tensor([index for index, _ in numbered])
        return batch


class Feed:
    """This rank's micro-batches, step by step.

    Args:
        rows: the dataset of all rows, numbered domain after domain.
        collator: the host's collator.
        micro_batch: rows of a micro-batch on one rank.
        accumulation: micro-batches of an optimizer step.
        loader_options: further keyword arguments of the ``DataLoader`` (workers, pinning ...).
    """

    def __init__(
        self,
        rows: Any,
        collator: Callable[[list[dict[str, Any]]], Any],
        micro_batch: int,
        accumulation: int,
        loader_options: dict[str, Any],
    ) -> None:
        self._rows = _NumberedRows(rows)
        self._collate = _Collate(collator)
        self._micro_batch = micro_batch
        self._accumulation = accumulation
        self._options = loader_options
        self._batches: Iterator[dict[str, Any]] | None = None

    def open(self, rows_of_step: Callable[[int], IntArray], start: int, stop: int) -> None:
        """Serve the steps ``start <= step < stop`` from now on."""
        self.close()
        options = self._options
        if stop - start == 1:
            # Nothing can be read ahead: starting workers would take longer than reading.
            options = options | {"num_workers": 0, "prefetch_factor": None}
        loader: DataLoader[Any] = DataLoader(
            self._rows,
            batch_sampler=_RankBatches(rows_of_step, start, stop, self._micro_batch, self._accumulation),
            collate_fn=self._collate,
            # A loader draws a seed for its workers; from its own generator, the global one stays as it is.
            generator=torch.Generator().manual_seed(start),
            **options,
        )
        self._batches = iter(loader)

    @property
    def is_open(self) -> bool:
        """Whether a segment is being served."""
        return self._batches is not None

    def close(self) -> None:
        """End the present segment's workers."""
        self._batches = None

    def next_step(self) -> list[dict[str, Any]]:
        """Return the micro-batches of the next optimizer step, on the CPU."""
        assert self._batches is not None
        return [next(self._batches) for _ in range(self._accumulation)]


class _RankBatches:
    """The row ids of this rank's micro-batches; every rank's lie side by side in the global order."""

    def __init__(
        self,
        rows_of_step: Callable[[int], IntArray],
        start: int,
        stop: int,
        micro_batch: int,
        accumulation: int,
    ) -> None:
        self._rows_of_step, self._start, self._stop = rows_of_step, start, stop
        self._micro_batch, self._accumulation = micro_batch, accumulation

    def __iter__(self) -> Iterator[list[int]]:
        rank, size = world()
        for step in range(self._start, self._stop):
            rows = self._rows_of_step(step).reshape(self._accumulation, size, self._micro_batch)
            yield from rows[:, rank].tolist()
