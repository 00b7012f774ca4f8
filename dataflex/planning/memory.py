"""Peak memory of a process by arithmetic, from a model's sizes alone; nothing is built or measured.

``dataflex-cli plan CONFIG --memory`` counts the tensors of one run exactly, but needs its model and data.
Here parts are added up that may not all be largest at once, and allocators' reserves are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dataflex.config import split
from dataflex.planning.architecture import Architecture
from dataflex.planning.work import BATCH, Find, adapters, cutoff
from dataflex.registry import build

HALF, FULL = 2, 4
LOSSES_COPIES = 2
"""Logits and their gradient."""
VALIDATION_ROWS, POOL_ROWS = 2**30, 2**28
"""Most bytes of gradients of validation and pool rows that are held at a time."""


@dataclass(frozen=True)
class Memory:
    """Bytes of a process."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    others: int
    """Of a selection's gradients, an embedding model, or a reference model, whichever is beside the rest."""

    @property
    def peak(self) -> int:
        """All parts together."""
        return sum(asdict(self).values())

    def as_dict(self) -> dict[str, int]:
        """Parts and peak."""
        return {**asdict(self), "peak": self.peak}


def zero_stage(config: Mapping[str, Any]) -> int | None:
    """Return the stage of DeepSpeed's ZeRO; None without DeepSpeed, 3 when its file can't be read."""
    asked = config.get("deepspeed")
    if not asked:
        return None
    if isinstance(asked, str):
        file = Path(asked)
        asked = json.loads(file.read_text()) if file.is_file() else {}
    return int(asked.get("zero_optimization", {}).get("stage", 3))


def memory_of(config: Mapping[str, Any], model: Architecture, ranks: int, find: Find) -> Memory:
    """Add up the memory of a process of a run.

    Args:
        config: as rendered for the run.
        model: that is trained.
        ranks: processes.
        find: architectures of further models.
    """
    element = HALF if config.get("bf16") or config.get("fp16") else FULL
    stage, small = zero_stage(config), adapters(config, model)
    if small is None:
        state = _whole(model, element, stage, ranks)
        trained = model.parameters
    else:
        state = _with_adapters(model.parameters * element, small, ranks)
        trained = small
    micro = int(config.get("per_device_train_batch_size", BATCH))
    tokens = micro * cutoff(config)
    blocks = 1 if not config.get("disable_gradient_checkpointing", False) else model.num_hidden_layers
    activations = (
        element * tokens * (model.hidden_size * model.num_hidden_layers + blocks * block_elements(model))
    )
    logits = FULL * LOSSES_COPIES * tokens * model.vocab_size
    return Memory(*state, activations, logits, _others(config, model, trained, element, stage, ranks, find))


def block_elements(model: Architecture) -> int:
    """Elements that one block keeps of a token for its backward pass.

    Inputs of both norms and what they return, queries, keys, values, what attention returns, and four vectors
    of the gated feed-forward layers.
    """
    inner = model.intermediate_size
    if model.num_experts:
        inner = (
            model.num_experts_per_tok * model.moe_intermediate_size + model.shared_expert_intermediate_size
        )
    return 4 * model.hidden_size + 2 * (model.attention_width + model.key_width) + 4 * inner


def _whole(model: Architecture, element: int, stage: int | None, ranks: int) -> tuple[int, int, int]:
    """Weights, gradients and optimizer when all parameters are trained."""
    count = model.parameters
    if stage is None:
        # The weights themselves are in fp32; data parallelism reduces a copy of the gradients.
        return FULL * count, FULL * count * (2 if ranks > 1 else 1), 2 * FULL * count
    master = FULL * count if element == HALF else 0
    weights, gradients, optimizer = element * count, element * count, 2 * FULL * count + master
    gathered = element * max(model.layer_parameters, model.head_weights)
    return (
        weights // ranks + gathered if stage == 3 else weights,
        gradients // ranks if stage >= 2 else gradients,
        optimizer // ranks,
    )


def _with_adapters(base: int, trained: int, ranks: int) -> tuple[int, int, int]:
    """The same with LoRA, whose own parameters are in fp32."""
    return base + FULL * trained, FULL * trained * (2 if ranks > 1 else 1), 2 * FULL * trained


def _others(
    config: Mapping[str, Any],
    model: Architecture,
    trained: int,
    element: int,
    stage: int | None,
    ranks: int,
    find: Find,
) -> int:
    """Bytes of what a method has beside the model in training; the largest, since they come one at a time."""
    own, _ = split(dict(config))
    sizes = [0]
    for decision in own.decision_list():
        component = build(decision.kind, decision.component_name, decision.component_params)
        needs = component.requirements()
        if "per_sample_gradient" in needs:
            width = int(getattr(component, "proj_dim", 0)) if _projects(component) else trained
            row = FULL * trained
            sizes.append(FULL * width + max(VALIDATION_ROWS, row) + max(POOL_ROWS, FULL * model.head_weights))
        if "embeddings" in needs:
            found = find(str(getattr(component, "embedding_model", None)))
            sizes.append(element * found.parameters if found else 0)
        if "reference_model" in needs and getattr(component, "reference_losses", "live") == "live":
            found = find(str(getattr(component, "reference_model_path", None)))
            if found:
                sizes.append(element * found.parameters // (ranks if stage == 3 else 1))
    return max(sizes)


def _projects(component: Any) -> bool:
    return getattr(component, "backend", "exact") == "projected"
