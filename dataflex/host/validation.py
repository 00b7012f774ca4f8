"""The validation set that a selection is meant for: ``eval_dataset``, tokenised as if it were trained on."""

from __future__ import annotations

import copy
from typing import Any

from dataflex.engine.facts import ValidationFacts
from dataflex.errors import UserError
from dataflex.host.arguments import HostArguments, local_files
from dataflex.host.domains import load_dataset_named
from dataflex.signals.passes import token_counts

_FORMATS = {".json": "json", ".jsonl": "json", ".csv": "csv", ".parquet": "parquet"}


def load_validation(
    args: HostArguments, template: Any, tokenizer_module: dict[str, Any]
) -> tuple[Any, ValidationFacts]:
    """Load the rows of every dataset in ``eval_dataset``, one after the other.

    They are not packed, and generation metrics don't change them: a row is a question with its answer.

    Returns:
        A ``datasets.Dataset`` with tokens and labels, and what components may know of it.

    Raises:
        UserError: no ``eval_dataset``, or one without any supervised row.
    """
    from datasets import concatenate_datasets

    names = list(args.data.eval_dataset or [])
    if not names:
        raise UserError("a component needs a validation set: name one in eval_dataset")
    unpacked = copy.copy(args.data)
    if args.finetuning.stage == "sft":
        unpacked.packing = unpacked.neat_packing = False
    unpacked.val_size = 0.0
    parts = []
    for name in names:
        part = load_dataset_named(args._replace(data=unpacked), template, tokenizer_module, name)
        if part is None or len(part) == 0:
            raise UserError(f"eval_dataset {name!r} has no row: give it more data or remove it")
        if not any(token_counts(row)[1] for row in part):
            raise UserError(
                f"eval_dataset {name!r} has no supervised token: check its columns, template and cutoff_len"
            )
        parts.append(part)
    columns = [_columns(args, name, len(part)) for name, part in zip(names, parts, strict=True)]
    shared = set.intersection(*(set(of_part) for of_part in columns))
    return concatenate_datasets(parts), ValidationFacts(
        rows=sum(map(len, parts)),
        columns={
            key: tuple(value for of_part in columns for value in of_part[key]) for key in sorted(shared)
        },
    )


def _columns(args: HostArguments, name: str, rows: int) -> dict[str, tuple[str, ...]]:
    """Read the columns of a local file that can name a subtask: one word or number for every row.

    LLaMA-Factory drops them when it tokenises, and rows that don't fit with them; when it has dropped a row,
    values could be matched to the wrong ones, so that only the dataset's name is left.
    """
    from datasets import load_dataset
    from llamafactory.data.parser import get_dataset_list

    found = {"dataset": (name,) * rows}
    files = local_files(args.data, name)
    kind = _FORMATS.get(files[0].suffix) if files else None
    if kind is None or get_dataset_list([name], args.data.dataset_dir)[0].num_samples is not None:
        # A sample of the rows in an order of LLaMA-Factory's own.
        return found
    raw = load_dataset(
        kind, data_files=[str(file) for file in files], split="train", cache_dir=args.model.cache_dir
    )
    if args.data.max_samples is not None:
        raw = raw.select(range(min(args.data.max_samples, len(raw))))
    if len(raw) != rows:
        return found
    for key, feature in raw.features.items():
        if getattr(feature, "dtype", None) in ("string", "int64", "bool") and key != "dataset":
            found[key] = tuple(map(str, raw[key]))
    return found
