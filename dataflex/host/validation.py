"""The validation set that a selection is meant for: ``eval_dataset``, tokenised as if it were trained on."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from dataflex.engine.facts import ValidationFacts
from dataflex.errors import UserError
from dataflex.host.arguments import HostArguments, local_files
from dataflex.host.domains import load_dataset_named, reading
from dataflex.signals.passes import token_counts, tokens_and_labels
from dataflex.signals.rollouts import reference_texts

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
    columns = []
    for name, part in zip(names, parts, strict=True):
        raw = _raw(args, name)
        # A row that did not fit was dropped: values could be matched to the wrong rows.
        columns.append(_columns(name, raw if raw is not None and len(raw) == len(part) else None, len(part)))
    rows = concatenate_datasets(parts)

    def references() -> tuple[str, ...]:
        return reference_texts(tokenizer_module["tokenizer"], map(tokens_and_labels, rows))

    return rows, replace(_facts(columns), references=references)


def raw_facts(args: HostArguments) -> ValidationFacts | None:
    """Return what components may know of the validation set before it is tokenised.

    None when its texts will be packed, or when a dataset of it is not a local file of which every row is
    used. Rows that don't fit will be dropped, so that there may be more rows and columns than later on.
    """
    if args.finetuning.stage == "pt" and args.data.packing:
        return None
    found = [(name, _raw(args, name)) for name in args.data.eval_dataset or []]
    columns = [_columns(name, raw, len(raw)) for name, raw in found if raw is not None]
    return _facts(columns) if columns and len(columns) == len(found) else None


def _facts(columns: list[dict[str, tuple[str, ...]]]) -> ValidationFacts:
    """Put the columns that all datasets have behind one another."""
    shared = set.intersection(*(set(of_part) for of_part in columns))
    return ValidationFacts(
        rows=sum(len(of_part["dataset"]) for of_part in columns),
        columns={
            key: tuple(value for of_part in columns for value in of_part[key]) for key in sorted(shared)
        },
    )


def _raw(args: HostArguments, name: str) -> Any:
    """Read a local file as it is; None for what is none, or of which LLaMA-Factory takes a sample.

    LLaMA-Factory drops the columns when it tokenises, hence a look of our own.
    """
    from datasets import load_dataset
    from llamafactory.data.parser import get_dataset_list

    files = local_files(args.data, name)
    kind = _FORMATS.get(files[0].suffix) if files else None
    if kind is None or get_dataset_list([name], args.data.dataset_dir)[0].num_samples is not None:
        # A sample of the rows in an order of LLaMA-Factory's own.
        return None
    with reading([name]):
        raw = load_dataset(
            kind, data_files=[str(file) for file in files], split="train", cache_dir=args.model.cache_dir
        )
    return raw if args.data.max_samples is None else raw.select(range(min(args.data.max_samples, len(raw))))


def _columns(name: str, raw: Any, rows: int) -> dict[str, tuple[str, ...]]:
    """Return the columns that can name a subtask, one word or number for every row; ``dataset`` is one."""
    found = {"dataset": (name,) * rows}
    for key, feature in raw.features.items() if raw is not None else ():
        if getattr(feature, "dtype", None) in ("string", "int64", "bool") and key != "dataset":
            found[key] = tuple(map(str, raw[key]))
    return found
