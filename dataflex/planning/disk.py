"""Bytes that a grid writes and downloads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dataflex.planning.architecture import Architecture
from dataflex.planning.memory import FULL, HALF
from dataflex.planning.work import adapters

SAVE_STEPS = 500
"""Default of transformers."""
SMALL_VOCABULARY = 2**16
TOKENIZER_BYTES = 15_000_000
"""Configuration and tokenizer of a model that is trained from scratch; roughly."""


def checkpoints(config: Mapping[str, Any], steps: int) -> int:
    """Return how many checkpoints of a run are kept when it ends; the last step makes one, too."""
    strategy = str(config.get("save_strategy", "steps"))
    if strategy == "no":
        return 0
    if strategy != "steps":
        made = max(1, round(float(config.get("num_train_epochs", 1))))
    else:
        made = -(-steps // int(config.get("save_steps", SAVE_STEPS)))
    limit = config.get("save_total_limit")
    return min(made, int(limit)) if limit else made


def checkpoint_bytes(config: Mapping[str, Any], model: Architecture) -> int:
    """Return the size of one checkpoint: weights, Adam's moments and their copy of the weights."""
    small = adapters(config, model)
    if small is not None:
        return 3 * FULL * small
    if config.get("save_only_model"):
        return model_bytes(config, model)
    master = FULL * model.parameters if config.get("deepspeed") and config.get("bf16") else 0
    return model_bytes(config, model) + 2 * FULL * model.parameters + master


def model_bytes(config: Mapping[str, Any], model: Architecture) -> int:
    """Return the size of the finished model, or of its adapters."""
    small = adapters(config, model)
    if small is not None:
        return FULL * small
    return (HALF if config.get("bf16") else FULL) * model.parameters


def run_bytes(config: Mapping[str, Any], model: Architecture, steps: int) -> int:
    """Return what a run leaves on disk."""
    return model_bytes(config, model) + checkpoints(config, steps) * checkpoint_bytes(config, model)


def token_bytes(tokens: int, vocabulary: int) -> int:
    """Return the size of a tokenised corpus."""
    return tokens * (2 if vocabulary <= SMALL_VOCABULARY else 4)


def model_download(model: Architecture | None, *, from_scratch: bool) -> int:
    """Return what is downloaded of a model; no weights if they are drawn at random.

    Weights are taken to be published in half precision.
    """
    weights = 0 if from_scratch or model is None else HALF * model.parameters
    return TOKENIZER_BYTES + weights
