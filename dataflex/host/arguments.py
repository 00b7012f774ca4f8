"""LLaMA-Factory's arguments, parsed by its own parser, with its complaints told in one line."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from dataflex.config import unknown_keys
from dataflex.errors import UserError, one_line


class HostArguments(NamedTuple):
    """The five argument groups of LLaMA-Factory."""

    model: Any
    data: Any
    training: Any
    finetuning: Any
    generating: Any


def parse(config: dict[str, Any]) -> HostArguments:
    """Parse LLaMA-Factory's part of a configuration.

    Raises:
        UserError: an unknown key, a wrong type or a combination that LLaMA-Factory refuses.
    """
    from llamafactory.hparams import (
        DataArguments,
        FinetuningArguments,
        GeneratingArguments,
        ModelArguments,
        RayArguments,
        TrainingArguments,
        get_train_args,
    )

    groups = [
        ModelArguments,
        DataArguments,
        TrainingArguments,
        FinetuningArguments,
        GeneratingArguments,
        RayArguments,
    ]
    # The parser rewrites the fields' own types in place, and takes a choice of types down to one.
    hints = {name: hint for group in groups for name, hint in get_type_hints(group).items()}
    unknown_keys(config, [field.name for group in groups for field in dataclasses.fields(group)])
    for key, value in config.items():
        _check_scalar(key, value, hints[key])
    try:
        return HostArguments(*get_train_args(dict(config)))
    except (ValueError, TypeError, ImportError, OSError) as error:
        raise UserError(f"LLaMA-Factory refuses the configuration: {one_line(error)}") from None


def _check_scalar(key: str, value: Any, annotation: Any) -> None:
    """Refuse a value that can't be read as the plain number or switch that its key asks for."""
    wanted = [kind for kind in get_args(annotation) or (annotation,) if kind is not type(None)]
    if value is None or len(wanted) != 1 or wanted[0] not in (int, float, bool):
        return
    try:
        TypeAdapter(wanted[0]).validate_python(value)
    except ValidationError:
        raise UserError(f"{key} must be of type {wanted[0].__name__}, not {value!r}") from None


def dataset_files(data_args: Any) -> dict[str, list[Path]]:
    """Return the local files of each training dataset; none for one that comes from a hub.

    Raises:
        UserError: no dataset, two of one name, one that ``dataset_info.json`` lacks, or a missing or empty
            file.
    """
    names = list(data_args.dataset or [])
    if not names:
        raise UserError("dataset is missing: name at least one dataset of dataset_info.json")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"dataset names {twice[0]!r} twice: every domain needs a name of its own")
    return {name: local_files(data_args, name) for name in names}


def local_files(data_args: Any, name: str) -> list[Path]:
    """Return the local files of a dataset; none for one that comes from a hub.

    Raises:
        UserError: ``dataset_info.json`` lacks it, or a file is missing or empty.
    """
    folder = data_args.dataset_dir
    if isinstance(folder, dict) or folder == "ONLINE" or str(folder).startswith("REMOTE:"):
        return []
    index = Path(folder) / "dataset_info.json"
    if not index.is_file():
        raise UserError(f"no file {index}: set dataset_dir to the folder that holds dataset_info.json")
    try:
        info = json.loads(index.read_text())
    except json.JSONDecodeError as error:
        raise UserError(f"{index} is not JSON: {error}") from None
    if not isinstance(info, dict):
        raise UserError(f"{index} must hold keys and values")
    return _files_of(name, info, Path(folder))


def _files_of(name: str, info: dict[str, Any], folder: Path) -> list[Path]:
    from dataflex.registry import nearest

    if name not in info:
        raise UserError(
            f"dataset {name!r} is not in {folder / 'dataset_info.json'}: {nearest(name, list(info))}"
        )
    if not isinstance(info[name], dict):
        raise UserError(f"{folder / 'dataset_info.json'}: {name} must hold keys and values")
    file_name = info[name].get("file_name")
    if file_name is None:
        return []
    path = folder / file_name
    if path.is_dir():
        files = [Path(root) / file for root, _, names in os.walk(path) for file in sorted(names)]
    elif path.is_file():
        files = [path]
    else:
        raise UserError(f"dataset {name!r}: no file {path}")
    if not any(file.stat().st_size for file in files):
        raise UserError(f"dataset {name!r} is empty: {path} holds nothing; remove it from dataset")
    return files
