"""The training runs whose steps are compared, and what a step of each may cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from efficiency.lockstep import Plan
from efficiency.sides import Side
from efficiency.step_workload import ANCHORS, MOE, StepWorkload
from efficiency.workload import TINY
from paper_figures.efficiency.results import STOCK

AGAIN = "stock again"
"""The same once more: its ratio is one, and its interval tells how much a ratio of one may be off."""


def falling(losses: Any, context: Any) -> Any:
    """Weigh samples of high loss less: a function as a user would write it, for ``weight custom``."""
    return 1 / (1 + losses)


def common(
    work: StepWorkload, output: Path, *, batch: int, accumulation: int, cutoff: int, steps: int
) -> Any:
    """Return the keys that all runs have: rows of one length, no checkpoints, the whole model trained."""
    return {
        "stage": "pt",
        "do_train": True,
        "finetuning_type": "full",
        "model_name_or_path": str(work.model),
        "dataset_dir": str(work.corpus),
        "dataset": ",".join(work.domains),
        "packing": True,
        "cutoff_len": cutoff,
        "overwrite_cache": True,
        "preprocessing_num_workers": 1,
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": accumulation,
        "dataloader_drop_last": True,
        "max_steps": steps,
        "learning_rate": 1e-4,
        "lr_scheduler_type": "constant",
        "logging_steps": 10,
        "save_strategy": "no",
        "report_to": "none",
        "disable_gradient_checkpointing": True,
        "disable_tqdm": True,
        "plot_loss": False,
        "fp16": False,
        "bf16": False,
        "seed": 1,
        "output_dir": str(output),
    }


def library_keys(model: str, work: StepWorkload, cache: Path) -> dict[str, dict[str, Any]]:
    """Return the keys that this library's variants add, by name; they decide at every step."""

    def mix(component: str, **params: Any) -> dict[str, Any]:
        keys = {"train_type": "dynamic_mix", "component_name": component, "component_params": params}
        return keys | {"update_step": 1, "update_times": 0}

    def weight(component: str, **params: Any) -> dict[str, Any]:
        return {"train_type": "dynamic_weight", "component_name": component, "component_params": params}

    static = {"train_type": "dynamic_mix", "component_name": "static", "static_mix": True}
    if model == MOE:
        # Frozen routers have no backward, which would hide what counting costs.
        return {
            STOCK: {},
            AGAIN: {},
            "mix static": static,
            "mix dynamic_moe": mix("dynamic_moe", freeze_gate=False),
        }
    reference = {"reference_model_path": str(work.model), "reference_cache": str(cache)}
    own = {"path": f"{__name__}:{falling.__name__}"}
    return {
        STOCK: {},
        AGAIN: {},
        "mix static": static,
        "mix random": mix("random"),
        "mix odm": mix("odm"),
        "mix doremi, cached": mix("doremi", reference_losses="cached", **reference),
        "mix doremi, live": mix("doremi", reference_losses="live", **reference),
        "weight loss": weight("loss", strategy="linupper"),
        "weight loss, same step": weight("loss", strategy="linupper", bounds="same_step"),
        "weight none": weight("loss", strategy="none"),
        "weight adapt": weight("adapt") | {"eval_dataset": ANCHORS},
        "weight custom": weight("custom", scope="sample", **own),
        "weight custom, same step": weight("custom", **own),
    }


def upstream_keys(model: str, work: StepWorkload, folder: Path, steps: int) -> dict[str, dict[str, Any]]:
    """Return the keys of upstream's variants; its components' parameters go to a file in the folder."""
    if model == MOE:
        return {}
    components = {
        "mixers": {
            "odm": {"name": "odm", "params": {"warmup_steps": 0}},
            "doremi": {"name": "doremi", "params": {"reference_model_path": str(work.model)}},
        },
        "weighters": {
            "loss": {"name": "loss", "params": {"strategy": "linupper"}},
            "adapt": {"name": "adapt"},
        },
    }
    # JSON is YAML.
    file = folder / "components.yaml"
    file.write_text(json.dumps(components))

    def keys(kind: str, component: str, **more: Any) -> dict[str, Any]:
        named = {"train_type": kind, "component_name": component, "components_cfg_file": str(file)}
        return named | more

    # A first stage without steps would have no rows, at which upstream stops.
    often = {"warmup_step": 1, "update_step": 1, "update_times": steps, "train_step": steps}
    mixing = often | {"mixture_sample_rule": "mixture"}
    return {
        STOCK: {"train_type": "static"},
        "mix odm": keys("dynamic_mix", "odm", **mixing),
        "mix doremi": keys("dynamic_mix", "doremi", **mixing),
        "weight loss": keys("dynamic_weight", "loss"),
        "weight adapt": keys("dynamic_weight", "adapt", eval_dataset=ANCHORS),
    }


def plans(side: Side, keys: dict[str, dict[str, Any]], shared: dict[str, Any], folder: Path) -> list[Plan]:
    """Return the runs of a side, each with a folder for its output."""
    return [
        Plan(side, name, shared | own | {"output_dir": str(folder / side.name / name.replace(" ", "-"))})
        for name, own in keys.items()
    ]


def name_of(model: str) -> str:
    """Return a model's name in a report."""
    return model if model in (TINY, MOE) else Path(model).resolve().name
