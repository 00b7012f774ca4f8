"""Configurations of a few steps that every strategy trains: each registered component, and variants of some."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from dataflex.registry import components

from ..host.conftest import SELECTION
from ..registered import EVERY, keys_of, params_of

STRATEGIES = ("ddp", "zero1", "zero2", "zero3", "fsdp2")

_MIX = {"train_type": "dynamic_mix", "warmup_step": 2, "update_step": 1, "update_times": 0, "train_step": 6}
_SELECT = SELECTION | {"finetuning_type": "full", "update_times": 1}
_WEIGHT = {"train_type": "dynamic_weight", "warmup_step": 2, "train_step": 6}
# Trained two steps before the first decision, so that Adam has moments.
_KEYS: dict[str, dict[str, Any]] = {"select": _SELECT, "mix": _MIX, "weight": _WEIGHT}

VARIANTS: dict[str, dict[str, Any]] = {
    "less-sgd": _SELECT | {"component_name": "less", "component_params": {"gradient_type": "sgd"}},
    "less-projected": _SELECT
    | {"component_name": "less", "component_params": {"backend": "projected", "proj_dim": 64}},
    "less-lora": _SELECT | {"component_name": "less", "finetuning_type": "lora", "lora_dropout": 0.0},
    # Trains on what less has picked, without its pass over the model.
    "less-recorded": _SELECT | {"component_name": "custom"},
    "less-subtasks": _SELECT
    | {"component_name": "less", "component_params": {"validation_subtask": "subject"}, "warmup_step": 0},
    "near-embedder": _SELECT | {"component_name": "near"},
    "weight-sample": _WEIGHT | {"component_name": "loss", "component_params": {"mass": "sample"}},
    "weight-capped": _WEIGHT
    | {"component_name": "loss", "component_params": {"strategy": "kl_dro", "r": 0.3, "max_weight": 1.5}},
    "odm-every-step": _MIX | {"component_name": "odm", "update_step": 1},
    "all": {
        "decisions": [
            {"kind": "select", "component_name": "loss", "warmup_step": 2, "update_step": 2},
            {"kind": "mix", "component_name": "odm", "warmup_step": 1, "update_step": 1},
            {"kind": "weight", "component_name": "loss", "component_params": {"r": 0.3}},
        ],
        "train_step": 6,
    },
}


def jobs(
    tiny: Path, experts: Path, folder: Path, strategy: str, device: str = "cpu", *, bf16: bool = False
) -> dict[str, dict[str, Any]]:
    """Return the configurations by name; each has a global batch of four rows."""
    two = strategy != "single"
    base: dict[str, Any] = {
        "model_name_or_path": str(tiny / "model"),
        "stage": "pt",
        "do_train": True,
        "finetuning_type": "full",
        "dataset_dir": str(tiny / "data"),
        "dataset": "code,more_code,docs",
        "template": "qwen",
        "cutoff_len": 32,
        "per_device_train_batch_size": 1 if two else 2,
        "gradient_accumulation_steps": 2,
        "learning_rate": 1e-3,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": device == "cpu",
        "dataloader_pin_memory": device == "cuda",
        "bf16": bf16,
        "seed": 3,
    }
    if device == "cuda" and strategy == "fsdp2":
        wrapped = ["Qwen2DecoderLayer", "Qwen3MoeDecoderLayer"]
        base["fsdp"] = "full_shard auto_wrap"
        base["fsdp_config"] = {"version": 2, "transformer_layer_cls_to_wrap": wrapped}
    if strategy.startswith("zero"):
        file = folder / f"{strategy}.json"
        file.write_text(json.dumps(deepspeed(int(strategy[-1]), bf16)))
        base["deepspeed"] = str(file)
        # DeepSpeed finds out by itself, and is not started where this is said.
        del base["use_cpu"]
    found: dict[str, dict[str, Any]] = {}
    for kind, name in EVERY:
        params = params_of(kind, name, str(tiny / "model"))
        keys = _KEYS[kind] | keys_of(kind, name, params, tiny, experts)
        if "reference_model_path" in params:
            for losses in ("live", "cached"):
                own = params | {"reference_losses": losses}
                cache = {"reference_cache": str(folder / "cache")} if losses == "cached" else {}
                found[f"{name}-{losses}"] = base | keys | {"component_params": own | cache}
            continue
        if kind == "select":
            keys["update_times"] = components()[kind][name].least_updates
        found[name if f"{kind}-{name}" not in _twice() else f"{kind}-{name}"] = base | keys
    found |= {name: base | keys for name, keys in VARIANTS.items()}
    picked = str(folder / "less" / "selections" / "step-000003.npy")
    found["less-recorded"]["component_params"] = {"path": f"{__name__}:recorded", "params": {"file": picked}}
    found["near-embedder"]["component_params"] = {"embedding_model": str(tiny / "model")}
    return {name: config | {"output_dir": str(folder / name)} for name, config in found.items()}


def recorded(context: Any, n: int, file: str) -> Any:
    """Return the rows that another run has picked."""
    return np.load(file)


def _twice() -> set[str]:
    """Return kind and name of components whose name belongs to several kinds."""
    names = [name for _, name in EVERY]
    return {f"{kind}-{name}" for kind, name in EVERY if names.count(name) > 1}


def deepspeed(stage: int, bf16: bool) -> dict[str, Any]:
    """Return a DeepSpeed configuration; stage 3 leaves no parameter whole."""
    zero: dict[str, Any] = {
        "stage": stage,
        "overlap_comm": False,
        "contiguous_gradients": True,
        "reduce_bucket_size": "auto",
    }
    if stage == 3:
        zero |= {
            "stage3_param_persistence_threshold": 0,
            "stage3_prefetch_bucket_size": "auto",
            "stage3_gather_16bit_weights_on_model_save": True,
        }
    return {
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "zero_allow_untested_optimizer": True,
        "fp16": {"enabled": False},
        "bf16": {"enabled": bf16},
        "zero_optimization": zero,
    }


NAMES = list(jobs(Path(), Path(), Path(), "single"))
