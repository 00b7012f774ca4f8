"""What is known of a run before its first step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataflex.arrays import FloatArray, IntArray
from dataflex.errors import UserError


@dataclass(frozen=True)
class ValidationFacts:
    """The validation set that a selection is meant for: the rows of ``eval_dataset``."""

    rows: int
    columns: Mapping[str, tuple[str, ...]]
    """Values of each row's columns that can name its subtask; ``dataset`` is always one of them."""
    references: Callable[[], tuple[str, ...]] | None = None
    """Makes the text of each row's right answer; None before rows are tokenised."""

    def groups(self, column: str | None) -> IntArray:
        """Return the subtask of each row, numbered by first appearance; all zero without a column.

        Raises:
            UserError: there is no such column.
        """
        if column is None:
            return np.zeros(self.rows, np.int64)
        if column not in self.columns:
            raise UserError(
                f"validation_subtask: the validation set has no column {column!r}, only "
                f"{', '.join(sorted(self.columns))} (read from local files of which every row is used)"
            )
        numbers: dict[str, int] = {}
        return np.array([numbers.setdefault(value, len(numbers)) for value in self.columns[column]], np.int64)


@dataclass(frozen=True)
class Facts:
    """What is known of a run before its first step, the same on every rank."""

    domains: tuple[str, ...]
    """Names, in the order of the configuration's ``dataset``."""
    rows: IntArray
    """Rows of each domain."""
    loss_tokens: IntArray
    """Supervised tokens of each domain's rows, after the shift by one."""
    proportions: FloatArray
    """Initial proportions over loss tokens; they sum to one."""
    seed: int
    batch_rows: int
    """Rows of one optimizer step, over micro-batches, accumulation and ranks."""
    total_steps: int
    validation: ValidationFacts | None = None
    """None when no component needs a validation set."""
    row_keys: Callable[[], list[str]] | None = None
    """Makes the key of every row (``signals.scores.row_keys``); None before rows are loaded."""
    vocabulary: int | None = None
    """Tokens that the tokenizer knows; None before it is loaded."""

    @property
    def total_rows(self) -> int:
        """Rows of all domains."""
        return int(self.rows.sum())

    def domain_of(self, ids: IntArray) -> IntArray:
        """Return the domain index of each row id (rows are numbered domain after domain)."""
        return np.searchsorted(np.cumsum(self.rows), ids, side="right").astype(np.int64)

    def by_domain(self, values: FloatArray | IntArray) -> dict[str, Any]:
        """Return numbers of the domains, shape ``(domains,)``, by the domains' names, as JSON types."""
        return dict(zip(self.domains, values.tolist(), strict=True))
