"""What a run measures with: its model and its rows, in batches on the model's device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from dataflex.arrays import IntArray
from dataflex.signals.passes import Rows

CACHED_TOKENS = 4
"""Tokens of sampled answers that lie in a cache, for one of a training batch, unless told otherwise."""


@dataclass(frozen=True)
class Bench:
    """What a run measures with; it lasts as long as the run."""

    model: nn.Module
    optimizer: Callable[[], Any]
    autocast: Callable[[], AbstractContextManager[Any]]
    """The run's mixed precision, for parts of the model that are called by themselves."""
    tokenizer: Any
    pool: Rows
    pool_data: Any
    """The ``datasets.Dataset`` that the pool's batches are made of."""
    twins: Callable[[], IntArray]
    """See ``signals.twins``."""
    validation: Rows | None
    validation_data: Any
    end_tokens: Sequence[int]
    """Tokens that end a generated answer."""
    collate: Callable[[list[dict[str, Any]]], dict[str, Any]]
    """Makes a batch of token rows, on the model's device."""
    batch_tokens: int
    """Padded tokens of a training batch of the longest rows: what fits in training fits here."""
    folder: Path
    """The run directory, for what is kept between steps."""
    loading_whole: Callable[[], AbstractContextManager[Any]]
    """For loading a model to measure with that the run's way of sharding must not touch."""
