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
from dataflex.engine.base import Component
from dataflex.engine.bench import CACHED_TOKENS
from dataflex.planning.architecture import Architecture
from dataflex.planning.corpora import Corpus
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
    """Of a selection's gradients, the attention cache of the answers that it samples, an embedding model, or
    a reference model, whichever is beside the rest."""

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


def memory_of(
    config: Mapping[str, Any], model: Architecture, corpus: Corpus, ranks: int, find: Find
) -> Memory:
    """Add up the memory of a process of a run.

    Args:
        config: as rendered for the run.
        model: that is trained.
        corpus: what the run reads.
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
    beside = [
        _gradients_of_rows(config, model, trained, corpus),
        _cache_of_answers(config, model, element, tokens),
        *_further_models(config, element, stage, ranks, find),
    ]
    return Memory(*state, activations, logits, max(beside))


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


def _gradients_of_rows(config: Mapping[str, Any], model: Architecture, trained: int, corpus: Corpus) -> int:
    """Bytes of the direction that rows are compared with, and of gradients of validation and pool rows."""
    for component in _components(config):
        if "per_sample_gradient" in component.requirements():
            projected = getattr(component, "backend", "exact") == "projected"
            row = FULL * (int(getattr(component, "proj_dim", 0)) if projected else trained)
            largest = FULL * min(trained, model.head_weights)
            validation = max(row, min(VALIDATION_ROWS, row * (corpus.validation_rows or VALIDATION_ROWS)))
            pool = max(largest, min(POOL_ROWS, FULL * trained * (corpus.rows or POOL_ROWS)))
            return row + validation + pool
    return 0


def _cache_of_answers(config: Mapping[str, Any], model: Architecture, element: int, tokens: int) -> int:
    """Bytes of the keys and values of all tokens that are sampled side by side; ``tokens``: of a batch."""
    for component in _components(config):
        if "generation" in component.requirements():
            cached = getattr(component, "sampling_tokens", None) or CACHED_TOKENS * tokens
            return int(cached) * model.num_hidden_layers * 2 * model.key_width * element
    return 0


def _further_models(
    config: Mapping[str, Any], element: int, stage: int | None, ranks: int, find: Find
) -> list[int]:
    """Bytes of embedding and reference models; only ZeRO-3 divides the latter."""
    sizes = []
    for component in _components(config):
        needs = component.requirements()
        if "embeddings" in needs:
            found = find(str(getattr(component, "embedding_model", None)))
            sizes.append(element * found.parameters if found else 0)
        if "reference_model" in needs and getattr(component, "reference_losses", "live") == "live":
            found = find(str(getattr(component, "reference_model_path", None)))
            sizes.append(element * found.parameters // (ranks if stage == 3 else 1) if found else 0)
    return sizes


def _components(config: Mapping[str, Any]) -> list[Component]:
    own, _ = split(dict(config))
    return [build(one.kind, one.component_name, one.component_params) for one in own.decision_list()]
