"""The golden run of each registered component, worked out from what the component says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dataflex.engine.base import Component
from dataflex.engine.schedule import Kind
from dataflex.golden.materials import DOMAINS
from dataflex.registry import components

STEPS = 8
WARMUP = 2


@dataclass(frozen=True, order=True)
class Case:
    """One component's golden run."""

    kind: Kind
    name: str

    @property
    def label(self) -> str:
        """Name of its files."""
        return f"{self.kind}.{self.name}"

    def params(self) -> dict[str, Any]:
        """Return the component's parameters: its ``example``."""
        return dict(components()[self.kind][self.name].example)

    def component(self) -> Component:
        """Make the component."""
        return components()[self.kind][self.name](**self.params())

    def config(self) -> dict[str, Any]:
        """Return the configuration, to be run in a folder that lies in that of the materials.

        There are no random numbers but the component's own: all weights are trained, without dropout.
        """
        component = self.component()
        needs = component.requirements()
        config: dict[str, Any] = {
            "component_name": self.name,
            "component_params": self.params(),
            "model_name_or_path": "../experts" if "router_counts" in needs else "../model",
            "stage": "pt",
            "do_train": True,
            "finetuning_type": "full",
            "dataset_dir": "../data",
            "dataset": ",".join(DOMAINS),
            "template": "empty",
            "cutoff_len": 16,
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 2,
            "learning_rate": 4e-3,
            "lr_scheduler_type": "constant",
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "use_cpu": True,
            "seed": 3,
            "output_dir": "run",
        }
        if "validation_set" in needs:
            config["eval_dataset"] = "target" if self.kind == "select" else next(iter(DOMAINS))
        return config | self._schedule(component)

    def _schedule(self, component: Component) -> dict[str, Any]:
        if self.kind == "select":
            updates = max(2, component.least_updates + 1)
            return {
                "stage": "sft",
                "dataset": "pairs",
                "cutoff_len": 32,
                "train_type": "dynamic_select",
                "warmup_step": WARMUP,
                "update_step": 2,
                "update_times": updates,
                "num_train_epochs": 1,
            }
        if self.kind == "mix":
            # Decided anew at every step, to the end.
            return {
                "train_type": "dynamic_mix",
                "warmup_step": WARMUP,
                "update_step": 1,
                "update_times": 0,
                "train_step": STEPS,
            }
        return {"train_type": "dynamic_weight", "warmup_step": WARMUP, "train_step": STEPS}


def every_case() -> list[Case]:
    """Return the golden run of every registered component."""
    return sorted(Case(kind, name) for kind, found in components().items() for name in found)
