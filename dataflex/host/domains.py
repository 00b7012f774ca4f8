"""The training data, one domain a dataset, tokenised once by LLaMA-Factory's own processing."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataflex.arrays import IntArray
from dataflex.errors import UserError, one_line
from dataflex.host.arguments import HostArguments
from dataflex.signals.passes import IGNORED


@dataclass(frozen=True)
class Domains:
    """All rows of a run, numbered domain after domain."""

    names: tuple[str, ...]
    rows: Any
    """A ``datasets.Dataset`` of all rows, or the ``PackedRows`` of a built corpus."""
    counts: IntArray
    """Rows of each domain."""
    lengths: IntArray
    """Tokens of each row."""
    row_tokens: IntArray
    """Supervised tokens of each row, after the shift by one."""
    evaluation: Any
    """LLaMA-Factory's ``eval_dataset``: a dataset, several by name, or none."""
    validation: Any = None
    """Rows that a selection is meant for; none unless a component needs them."""

    def loss_tokens(self) -> IntArray:
        """Return the supervised tokens of each domain."""
        ends = np.cumsum(self.counts)
        return np.array([self.row_tokens[e - n : e].sum() for e, n in zip(ends, self.counts, strict=True)])


def load_domains(args: HostArguments, template: Any, tokenizer_module: dict[str, Any]) -> Domains:
    """Load and tokenise every dataset of the configuration as a domain of its own.

    Raises:
        UserError: a domain without any row, or data that LLaMA-Factory can't read.
    """
    from datasets import concatenate_datasets

    parts, evaluations = [], []
    for name in args.data.dataset:
        module = _load(args, template, tokenizer_module, dataset=[name])
        part = module.get("train_dataset")
        if part is None or len(part) == 0:
            raise UserError(
                f"dataset {name!r} has no row to train on: give it more data or remove it from dataset"
            )
        parts.append(part)
        if args.data.val_size > 1e-6:
            evaluations.append(module["eval_dataset"])
    evaluation = concatenate_datasets(evaluations) if evaluations else None
    if args.data.eval_dataset:
        evaluation = load_evaluation(args, template, tokenizer_module)
    rows = concatenate_datasets(parts)
    lengths, row_tokens = _token_counts(rows, tokenizer_module["tokenizer"].pad_token_id)
    counts = np.array([len(part) for part in parts], np.int64)
    domains = Domains(tuple(args.data.dataset), rows, counts, lengths, row_tokens, evaluation)
    for name, tokens in zip(domains.names, domains.loss_tokens(), strict=True):
        if tokens == 0:
            raise UserError(f"dataset {name!r} has no supervised token: check its columns and cutoff_len")
    return domains


def load_evaluation(args: HostArguments, template: Any, tokenizer_module: dict[str, Any]) -> Any:
    """Return what LLaMA-Factory makes of ``eval_dataset``: a dataset, or several by name."""
    return _load(args, template, tokenizer_module, eval_dataset=args.data.eval_dataset)["eval_dataset"]


def load_dataset_named(
    args: HostArguments, template: Any, tokenizer_module: dict[str, Any], name: str
) -> Any:
    """Return the tokenised rows of one dataset, as a training set."""
    return _load(args, template, tokenizer_module, dataset=[name]).get("train_dataset")


def _load(
    args: HostArguments,
    template: Any,
    tokenizer_module: dict[str, Any],
    *,
    dataset: list[str] | None = None,
    eval_dataset: list[str] | None = None,
) -> dict[str, Any]:
    """Let LLaMA-Factory load some datasets, as if only they stood in the configuration."""
    from llamafactory.data import get_dataset

    data_args = copy.copy(args.data)
    data_args.dataset, data_args.eval_dataset = dataset, eval_dataset
    # It would save one domain there as if it were all of the data.
    data_args.tokenized_path = None
    if dataset is None:
        data_args.val_size = 0.0
    with reading(dataset or eval_dataset or []):
        return dict(
            get_dataset(
                template,
                args.model,
                data_args,
                args.training,
                stage=args.finetuning.stage,
                **tokenizer_module,
            )
        )


@contextmanager
def reading(names: Sequence[str]) -> Iterator[None]:
    """Tell in one line what goes wrong while these datasets are read."""
    from datasets.exceptions import DatasetsError

    try:
        yield
    except (ValueError, KeyError, RuntimeError, StopIteration, OSError, DatasetsError) as error:
        raise UserError(f"dataset {', '.join(names)!r} can't be loaded: {one_line(error)}") from error


def _token_counts(rows: Any, pad_token_id: int | None) -> tuple[IntArray, IntArray]:
    """Return tokens and supervised tokens of each row, read column-wise without a Python loop over rows."""
    column = "labels" if "labels" in rows.column_names else "input_ids"
    ignored = IGNORED if column == "labels" else pad_token_id
    lengths, supervised = [], []
    for batch in rows.with_format("arrow").select_columns([column]).iter(batch_size=10_000):
        tokens = batch[column].combine_chunks()
        sizes = np.diff(tokens.offsets.to_numpy())
        values = tokens.flatten().to_numpy()
        # The first token of a row is never predicted.
        starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
        counts = values != ignored if ignored is not None else np.ones(len(values), bool)
        counts[starts[sizes > 0]] = False
        ends = np.concatenate(([0], np.cumsum(counts)))
        lengths.append(sizes)
        supervised.append(ends[starts + sizes] - ends[starts])
    return np.concatenate(lengths).astype(np.int64), np.concatenate(supervised).astype(np.int64)
