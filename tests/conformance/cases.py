"""The run of each registered component, worked out from what the component says of itself."""

from pathlib import Path
from typing import Any

from dataflex.engine.schedule import Kind

from ..registered import keys_of, params_of


def run_of(kind: Kind, name: str, steps: int, tiny: Path, experts: Path) -> dict[str, Any]:
    """Return the configuration of a run on the tiny model in which the component decides several times.

    Args:
        steps: of the optimizer.
        tiny: model and data.
        experts: a model with experts, for what looks at routers.
    """
    params = params_of(kind, name, "reference", losses="cached")
    config: dict[str, Any] = {
        "stage": "pt",
        "do_train": True,
        # Dropout shows the random states.
        "finetuning_type": "lora",
        "lora_rank": 2,
        "lora_dropout": 0.3,
        "dataset_dir": str(tiny / "data"),
        "dataset": "code,more_code,docs",
        "template": "qwen",
        "cutoff_len": 32,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "cosine",
        "logging_steps": 2,
        "save_strategy": "steps",
        "save_steps": 3,
        "save_total_limit": 2,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "seed": 3,
    }
    return config | keys_of(kind, name, params, tiny, experts) | _schedule(kind, steps)


def _schedule(kind: Kind, steps: int) -> dict[str, Any]:
    if kind == "select":
        # Two decisions at least, the first after a warm-up.
        update = 8 if steps > 20 else 3
        updates = (steps - 2) // update
        return {
            "stage": "sft",
            "dataset": "sft",
            "cutoff_len": 64,
            "train_type": "dynamic_select",
            "warmup_step": steps - update * updates,
            "update_step": update,
            "update_times": updates,
            "num_train_epochs": 1,
        }
    if kind == "mix":
        # Decided anew at every step: as many updates as fit.
        return {
            "train_type": "dynamic_mix",
            "warmup_step": 2,
            "update_step": 1,
            "update_times": 0,
            "train_step": steps,
        }
    return {"train_type": "dynamic_weight", "warmup_step": 2, "train_step": steps}
