"""The reference model of a component: checked before any model loads, and loaded as LLaMA-Factory does it."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from dataflex.engine.base import Component
from dataflex.errors import UserError, one_line
from dataflex.evidence.manifest import is_completed
from dataflex.host.arguments import HostArguments
from dataflex.signals.reference import FrozenModel, ReferenceSource
from dataflex.signals.sharding import loading_whole

_CONTENT = ("*.safetensors", "*.bin", "config.json", "adapter_config.json")
"""Files that decide about a model's losses."""


def check_reference(source: ReferenceSource) -> None:
    """Refuse a reference model that can't be used, as far as that shows without loading anything.

    Raises:
        UserError: the folder is missing, holds no model, or is that of a run which has not finished.
    """
    folder = Path(source.model)
    if not folder.is_dir():
        raise UserError(f"reference_model_path: no folder {folder}: name a finished run or a model's folder")
    if (folder / "manifest.json").is_file() and not is_completed(folder):
        raise UserError(
            f"reference_model_path: the run in {folder} is not finished: start it again, it goes on"
        )
    if not any((folder / name).is_file() for name in ("config.json", "adapter_config.json")):
        raise UserError(f"reference_model_path: {folder} holds no model: there is no config.json")


def frozen_model(
    components: Iterable[Component], args: HostArguments, template_of: Any, tokenizer: Any
) -> FrozenModel | None:
    """Return the model that components compare losses with; None when none does.

    Args:
        components: of the run.
        args: of the run.
        template_of: fits a tokenizer to the run's template, in place.
        tokenizer: of the run.

    Raises:
        UserError: it knows other tokens than the run, or two components name different models.
    """
    needing = [component for component in components if "reference_model" in component.requirements()]
    sources = {source for component in needing if (source := component.reference()) is not None}
    if not sources:
        return None
    if len(sources) > 1:
        raise UserError("two components compare losses with different reference models: a run has one")
    source = sources.pop()
    arguments = _arguments(args.model, Path(source.model))
    _refuse_other_tokens(source, arguments, template_of, tokenizer)
    return FrozenModel(
        source,
        load=lambda: _load(arguments, args.training, tokenizer, for_long=source.losses == "live"),
        identity=lambda: _identity(Path(source.model), args),
    )


def _arguments(model_args: Any, folder: Path) -> Any:
    """Return the model arguments of the run with the reference model in place of its own."""
    arguments = copy.copy(model_args)
    arguments.model_name_or_path, arguments.adapter_name_or_path = str(folder), None
    if (folder / "adapter_config.json").is_file():
        arguments.model_name_or_path = str(whole_model(folder))
        arguments.adapter_name_or_path = [str(folder)]
    # The run's own model may begin with random weights; this one never does.
    arguments.train_from_scratch = False
    arguments.quantization_bit = None
    return arguments


def whole_model(folder: Path) -> Path:
    """Return a folder with a model, or of one with an adapter the model below it, or its name on the hub."""
    adapter = folder / "adapter_config.json"
    return Path(json.loads(adapter.read_text())["base_model_name_or_path"]) if adapter.is_file() else folder


def _refuse_other_tokens(source: ReferenceSource, arguments: Any, template_of: Any, tokenizer: Any) -> None:
    from llamafactory.model import load_tokenizer

    own = copy.copy(arguments)
    own.model_name_or_path = source.model
    try:
        theirs = load_tokenizer(own)["tokenizer"]
    except (ValueError, OSError) as error:
        reason = one_line(error)
        raise UserError(f"reference_model_path: no tokenizer in {source.model}: {reason}") from None
    template_of(theirs)
    mine, other = tokenizer.get_vocab(), theirs.get_vocab()
    if mine != other:
        odd = min(token for token in mine.keys() | other.keys() if mine.get(token) != other.get(token))
        raise UserError(
            f"reference_model_path: {source.model} has another tokenizer than the run, for example for "
            f"{odd!r} ({other.get(odd)} there, {mine.get(odd)} here): its losses are of other tokens"
        )


def _load(arguments: Any, training: Any, tokenizer: Any, *, for_long: bool) -> Any:
    """Load the model to be measured with and never trained.

    Whole on this rank's device, except where the model in training is partitioned too and this one stays
    beside it: all ranks then go forward together.
    """
    from llamafactory.hparams import FinetuningArguments
    from llamafactory.model import load_model

    def load() -> Any:
        model = load_model(tokenizer, arguments, FinetuningArguments(), is_trainable=False)
        model.config.use_cache = False
        return model

    if for_long and training.deepspeed and training.hf_deepspeed_config.is_zero3():
        return _gathered_by_layer(load(), training)
    with loading_whole(training):
        model = load()
    return model.to(training.device)


def _gathered_by_layer(model: Any, training: Any) -> Any:
    """Return a partitioned model in an engine of its own, which gathers one layer at a time."""
    # By name: to a type checker the folder of DeepSpeed's configurations is the package.
    deepspeed: Any = import_module("deepspeed")
    given = training.hf_deepspeed_config.config["zero_optimization"]
    zero = {"stage": 3} | {key: given[key] for key in ("offload_param",) if key in given}
    precision = {"bf16": {"enabled": training.bf16}, "fp16": {"enabled": training.fp16}}
    engine = deepspeed.initialize(
        model=model, config={"train_micro_batch_size_per_gpu": 1, "zero_optimization": zero} | precision
    )[0]
    engine.eval()
    return engine


def _identity(folder: Path, args: HostArguments) -> str:
    """Return a digest of a model's files and of the precision it is computed with."""
    digest = hashlib.sha256(f"{args.model.compute_dtype} {args.training.bf16} {args.training.fp16}".encode())
    folders = [folder]
    if (folder / "adapter_config.json").is_file():
        folders.append(whole_model(folder))
    for file in sorted({path for one in folders for pattern in _CONTENT for path in one.glob(pattern)}):
        with file.open("rb") as content:
            digest.update(file.name.encode() + hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()
