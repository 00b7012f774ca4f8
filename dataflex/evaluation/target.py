"""What is evaluated: a full model or a LoRA adapter with its base."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from dataflex.errors import UserError

ADAPTER = "adapter_config.json"
TOKENIZER = "tokenizer_config.json"


@dataclass(frozen=True, slots=True)
class Target:
    """Where lm-eval loads from: the model, its tokenizer, and an adapter or None."""

    model: str
    tokenizer: str
    adapter: str | None


def resolve_target(folder: Path, base_model: str | None = None) -> Target:
    """Find out what a folder holds.

    Args:
        folder: a model folder (config.json) or an adapter folder (adapter_config.json).
        base_model: the adapter's base, where it is not the one that its config names.

    Raises:
        UserError: the folder holds neither, the base is not there, or a full model was given a base.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give the folder of a model or of a finished run")
    if (folder / ADAPTER).is_file():
        named = json.loads((folder / ADAPTER).read_text(encoding="utf-8")).get("base_model_name_or_path")
        base = base_model or named
        if not base:
            raise UserError(f"{folder / ADAPTER} names no base model; give it with --base-model")
        if not Path(base).is_dir() and (base_model is None or base.startswith((".", "/"))):
            raise UserError(
                f"the base model {base} of {folder} is not a folder here; give it with --base-model"
            )
        own = (folder / TOKENIZER).is_file()
        return Target(model=base, tokenizer=str(folder) if own else base, adapter=str(folder))
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} holds neither a model (config.json) nor an adapter ({ADAPTER})")
    if base_model is not None:
        raise UserError(f"{folder} is a full model; --base-model is for adapters only")
    return Target(model=str(folder), tokenizer=str(folder), adapter=None)
