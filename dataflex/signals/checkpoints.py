"""The trainable weights and Adam moments of a saved checkpoint, in place of the present ones for a while."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import nn

from dataflex.errors import UserError
from dataflex.signals.adam import MomentsOf, read_moments
from dataflex.signals.gradients import trainable


@contextmanager
def weights_of(model: nn.Module, checkpoint: Path) -> Iterator[None]:
    """Run a block with a checkpoint's trainable weights; the present ones come back bit by bit.

    Raises:
        UserError: the folder holds no weights of this model's trainable parameters.
    """
    parameters = trainable(model)
    saved = _read_weights(checkpoint)
    names = _saved_names(model, parameters)
    for (_, parameter), name in zip(parameters, names, strict=True):
        if name not in saved or saved[name].shape != parameter.shape:
            raise UserError(
                f"{checkpoint} is no checkpoint of this model: it lacks {name} of shape "
                f"{tuple(parameter.shape)}"
            )
    present = [parameter.detach().clone() for _, parameter in parameters]
    with torch.no_grad():
        try:
            for (_, parameter), name in zip(parameters, names, strict=True):
                parameter.copy_(saved[name])
            with torch.enable_grad():
                yield
        finally:
            for (_, parameter), before in zip(parameters, present, strict=True):
                parameter.copy_(before)


def _read_weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    files = sorted(checkpoint.glob("adapter_model*.safetensors")) or sorted(
        checkpoint.glob("model*.safetensors")
    )
    if not files:
        raise UserError(f"{checkpoint} holds no adapter_model.safetensors or model.safetensors")
    found: dict[str, torch.Tensor] = {}
    for file in files:
        with safe_open(file, framework="pt") as content:
            found |= {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    return found


def _saved_names(model: nn.Module, parameters: Sequence[tuple[str, nn.Parameter]]) -> list[str]:
    """Return the names under which the parameters are saved; an adapter's differ from those in the model."""
    if not hasattr(model, "peft_config"):
        return [name for name, _ in parameters]
    from peft import get_peft_model_state_dict

    by_storage = {tensor.data_ptr(): name for name, tensor in get_peft_model_state_dict(model).items()}
    return [by_storage.get(parameter.data_ptr(), name) for name, parameter in parameters]


def moments_of(checkpoint: Path, optimizer: Any, parameters: Sequence[tuple[str, nn.Parameter]]) -> MomentsOf:
    """Return what reads the moments that were saved with a checkpoint.

    Args:
        checkpoint: a folder with ``optimizer.pt``.
        optimizer: the run's own; its parameter groups tell which saved state belongs to which parameter.
        parameters: as ``trainable`` returns them.

    Raises:
        UserError: no such file, or it is of other parameters.
    """
    file = checkpoint / "optimizer.pt"
    if not file.is_file():
        raise UserError(f"{checkpoint} holds no optimizer.pt: save checkpoints with save_only_model: false")
    saved = torch.load(file, map_location="cpu", weights_only=True)
    numbers = [number for group in saved["param_groups"] for number in group["params"]]
    ours = [(group, p) for group in optimizer.param_groups for p in group["params"]]
    if len(numbers) != len(ours):
        raise UserError(f"{file} has {len(numbers)} parameters, this run trains {len(ours)}")
    state = {
        parameter: _to_device(saved["state"].get(number, {}), parameter)
        for number, (_, parameter) in zip(numbers, ours, strict=True)
    }
    return read_moments(_Saved(optimizer.param_groups, state), parameters)


class _Saved:
    """A saved optimizer state beside the present parameters, as ``read_moments`` reads it."""

    def __init__(self, param_groups: Any, state: dict[nn.Parameter, dict[str, Any]]) -> None:
        self.param_groups, self.state = param_groups, state


def _to_device(state: dict[str, Any], parameter: nn.Parameter) -> dict[str, Any]:
    return {
        key: value.to(parameter.device) if isinstance(value, torch.Tensor) else value
        for key, value in state.items()
    }


def mean_learning_rates(checkpoints: Sequence[Path]) -> list[float]:
    """Return the mean learning rate of the steps between each checkpoint and the one before it.

    Raises:
        UserError: no logged learning rate in between.
    """
    rates, before = [], 0
    for checkpoint in checkpoints:
        file = checkpoint / "trainer_state.json"
        if not file.is_file():
            raise UserError(f"{checkpoint} holds no trainer_state.json")
        state = json.loads(file.read_text())
        logged = [
            entry["learning_rate"]
            for entry in state["log_history"]
            if "learning_rate" in entry and before < entry["step"] <= state["global_step"]
        ]
        if not logged or not np.mean(logged) > 0:
            raise UserError(
                f"{file} has no learning rate above zero after step {before}: give checkpoints in their "
                "order, of a run with logging_steps smaller than save_steps"
            )
        rates.append(float(np.mean(logged)))
        before = int(state["global_step"])
    return rates
