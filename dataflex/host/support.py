"""What works with what: every method under the settings of LLaMA-Factory that could hide what it needs.

Nothing is listed by hand. A configuration with one setting changed is put to the very checks that a run has
to pass before anything loads; what they say is the table.
"""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

from dataflex.engine.base import Component
from dataflex.engine.schedule import Kind
from dataflex.errors import UserError
from dataflex.host.arguments import HostArguments, parse
from dataflex.host.capabilities import check_host, check_model, check_needs
from dataflex.registry import FOLDERS, build, components

SIZES: dict[str, int] = {
    "vocab_size": 8,
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}
"""Of a model that has a configuration and no weights: checks look at its architecture alone."""


@dataclass(frozen=True)
class Setting:
    """Something that a run may have.

    Attributes:
        name: head of its column.
        keys: LLaMA-Factory's keys for it, as a user writes them.
        change: makes it so in parsed arguments, so that a machine without the hardware can ask.
        model: that it is about; None: dense, or of experts for a method that is made for them.
    """

    name: str
    keys: str
    change: Callable[[HostArguments], None] = lambda args: None
    model: Literal["dense", "experts"] | None = None


def _set(group: str, **values: Any) -> Callable[[HostArguments], None]:
    def change(args: HostArguments) -> None:
        for key, value in values.items():
            setattr(getattr(args, group), key, value)

    return change


def _all(*changes: Callable[[HostArguments], None]) -> Callable[[HostArguments], None]:
    def change(args: HostArguments) -> None:
        for one in changes:
            one(args)

    return change


def _zero(stage: int) -> Callable[[HostArguments], None]:
    """As if a file with this DeepSpeed configuration had been named."""
    config = {"train_micro_batch_size_per_gpu": "auto", "zero_optimization": {"stage": stage}}
    return _set(
        "training", use_cpu=False, deepspeed=config, hf_deepspeed_config=SimpleNamespace(config=config)
    )


def _fsdp(version: int) -> Callable[[HostArguments], None]:
    return _set("training", use_cpu=False, fsdp=["full_shard"], fsdp_config={"version": version})


SETTINGS: tuple[Setting, ...] = (
    Setting("pre-training", "stage: pt", _set("finetuning", stage="pt")),
    Setting("fine-tuning", "stage: sft", _set("finetuning", stage="sft")),
    Setting("LoRA", "finetuning_type: lora", _set("finetuning", finetuning_type="lora")),
    Setting("DoRA", "use_dora: true", _set("finetuning", finetuning_type="lora", use_dora=True)),
    Setting(
        "QLoRA",
        "quantization_bit: 4",
        _all(_set("finetuning", finetuning_type="lora"), _set("model", quantization_bit=4)),
    ),
    Setting(
        "gradient checkpointing",
        "disable_gradient_checkpointing: false",
        _set("model", disable_gradient_checkpointing=False),
    ),
    Setting("bf16", "bf16: true", _set("training", bf16=True)),
    Setting("fp16", "fp16: true", _set("training", fp16=True)),
    Setting("packing", "packing: true", _set("data", packing=True)),
    Setting("neat packing", "neat_packing: true", _set("data", packing=True, neat_packing=True)),
    Setting("Liger", "enable_liger_kernel: true", _set("model", enable_liger_kernel=True)),
    Setting("Unsloth", "use_unsloth: true", _set("model", use_unsloth=True)),
    Setting("streaming", "streaming: true", _set("data", streaming=True)),
    Setting("dense model", "model_name_or_path: a model without experts", model="dense"),
    Setting(
        "experts, LoRA",
        "a mixture-of-experts model, finetuning_type: lora",
        _set("finetuning", finetuning_type="lora"),
        model="experts",
    ),
    Setting("experts", "model_name_or_path: a mixture-of-experts model", model="experts"),
    Setting("ZeRO-1, ZeRO-2", "deepspeed: a file with stage 1 or 2", _zero(2)),
    Setting("ZeRO-3", "deepspeed: a file with stage 3", _zero(3)),
    Setting("FSDP2", "fsdp: full_shard, fsdp_config: {version: 2}", _fsdp(2)),
    Setting("FSDP1", "fsdp: full_shard", _fsdp(1)),
)


def support() -> dict[Kind, dict[str, dict[str, str]]]:
    """Return kind -> method -> setting -> why it is refused; an empty string where it works."""
    with _models() as plain:
        return {
            kind: {
                name: {setting.name: _refusal(kind, name, setting, plain) for setting in SETTINGS}
                for name in sorted(found)
            }
            for kind, found in components().items()
        }


@contextmanager
def _models() -> Iterator[dict[str, HostArguments]]:
    """Arguments of a plain run of a dense model and of one with experts; both have configurations alone."""
    with tempfile.TemporaryDirectory() as name:
        yield {
            "dense": _arguments(Path(name) / "dense", {"model_type": "qwen2"}),
            "experts": _arguments(Path(name) / "experts", {"model_type": "qwen3_moe", "num_experts": 2}),
        }


def _arguments(folder: Path, config: Mapping[str, Any]) -> HostArguments:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**SIZES, **config}))
    keys = {
        "model_name_or_path": str(folder),
        "stage": "sft",
        "finetuning_type": "full",
        "do_train": True,
        "dataset": "pool",
        "eval_dataset": "target",
        "template": "default",
        "output_dir": str(folder / "run"),
        "use_cpu": True,
        "report_to": "none",
    }
    return parse(keys)


def _refusal(kind: Kind, name: str, setting: Setting, plain: Mapping[str, HostArguments]) -> str:
    of_experts = bool(components()[kind][name].needs & {"router_counts", "frozen_routers"})
    model = setting.model or ("experts" if of_experts else "dense")
    args = HostArguments(*map(copy.deepcopy, plain[model]))
    setting.change(args)
    component = _example(kind, name, args)
    try:
        check_host(args)
        check_needs(name, component, args)
        check_model(component.requirements(), args)
    except UserError as error:
        reason = str(error).removeprefix(f"component {name!r} ")
        return reason.replace(f"model_name_or_path: {args.model.model_name_or_path}", "the model")
    return ""


def _example(kind: Kind, name: str, args: HostArguments) -> Component:
    params = dict(components()[kind][name].example)
    if "reference_model_path" in params:
        params["reference_model_path"] = args.model.model_name_or_path
    return build(kind, name, params)


def markdown() -> str:
    """The table for people, with every reason below it."""
    reasons: list[str] = []
    lines = ["| method | " + " | ".join(setting.name for setting in SETTINGS) + " |"]
    lines.append("|---" * (len(SETTINGS) + 1) + "|")
    for kind, methods in support().items():
        for name, cells in methods.items():
            shown = []
            for reason in cells.values():
                if reason and reason not in reasons:
                    reasons.append(reason)
                shown.append(f"no ({reasons.index(reason) + 1})" if reason else "yes")
            lines.append(f"| {FOLDERS[kind][:-1]} `{name}` | " + " | ".join(shown) + " |")
    keys = [f"- {setting.name}: `{setting.keys}`" for setting in SETTINGS]
    told = [f"{number}. {reason}" for number, reason in enumerate(reasons, 1)]
    return "\n".join(
        [*lines, "", "Refused before anything loads, because:", "", *told, "", "Settings:", "", *keys, ""]
    )
