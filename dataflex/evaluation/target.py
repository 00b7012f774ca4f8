"""What is evaluated: a full model or a LoRA adapter with its base, of a run or of one of its checkpoints."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from dataflex.errors import UserError

ADAPTER = "adapter_config.json"
TOKENIZER = "tokenizer_config.json"
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
MODEL_WEIGHTS = ("model.safetensors", "model-*.safetensors", "pytorch_model.bin", "pytorch_model-*.bin")


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


def resolve_checkpoint(run: Path, step: int, base_model: str | None = None) -> Target:
    """Find out what a run's checkpoint holds; a tokenizer that it lacks is the run's.

    Args:
        run: a run directory.
        step: the checkpoint is ``checkpoint-<step>``; 0: the model that the run began with.
        base_model: the adapter's base, where it is not the one that its config names.

    Raises:
        UserError: there is no such checkpoint, or it holds no weights that can be loaded, or what
            ``resolve_target`` raises.
    """
    if step == 0:
        return _start(run, base_model)
    folder = run / f"checkpoint-{step}"
    if not folder.is_dir():
        found = (checkpoint.name.removeprefix("checkpoint-") for checkpoint in run.glob("checkpoint-*"))
        steps = sorted(int(name) for name in found if name.isdigit())
        kept = f"there are those of {', '.join(map(str, steps))}" if steps else "there is none"
        raise UserError(
            f"{run} has no checkpoint of step {step} ({kept}); save_steps says which are made, "
            "save_total_limit which are kept"
        )
    names = ADAPTER_WEIGHTS if (folder / ADAPTER).is_file() else MODEL_WEIGHTS
    if not any(file.stat().st_size for name in names for file in folder.glob(name)):
        raise UserError(f"{folder} holds no weights that can be loaded: {_instead(folder, names[0])}")
    target = resolve_target(folder, base_model)
    own = (folder / TOKENIZER).is_file() or not (run / TOKENIZER).is_file()
    return target if own else replace(target, tokenizer=str(run))


def _start(run: Path, base_model: str | None) -> Target:
    """What a run began with, by its configuration, and the run's tokenizer."""
    file = run / "config.yaml"
    if not file.is_file():
        raise UserError(f"{file} is missing, which says what the run began with: give a finished run")
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    if config.get("train_from_scratch"):
        raise UserError(f"{run} began with weights drawn at random: evaluate a later step")
    if adapter := config.get("adapter_name_or_path"):
        target = resolve_target(Path(adapter), base_model)
    else:
        model = base_model or str(config["model_name_or_path"])
        target = Target(model=model, tokenizer=model, adapter=None)
    return replace(target, tokenizer=str(run)) if (run / TOKENIZER).is_file() else target


def _instead(folder: Path, wanted: str) -> str:
    """What a checkpoint without weights holds, and what to do about it."""
    if any(folder.glob("global_step*")):
        return (
            "DeepSpeed has left its parts of them only; train with "
            '"stage3_gather_16bit_weights_on_model_save": true, or put them together with the '
            f"zero_to_fp32.py in there, as {wanted}"
        )
    if any(folder.glob("pytorch_model_fsdp*")):
        return (
            "FSDP has left its own form of them only; put them together with `accelerate merge-weights`, "
            f"as {wanted}"
        )
    return f"{wanted} is missing or empty; train the cell again"
