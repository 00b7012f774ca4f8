"""Parameters of which every process holds a part: those of DeepSpeed's ZeRO-3 and of PyTorch's FSDP2.

Such a model gathers the parameters of a layer for the time of that layer's forward or backward, on all ranks
together. A pass that all ranks make alike needs nothing else; but outside of it a parameter has another
shape, and what a pass of its own leaves gathered has to be given back.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule


def elements(parameter: nn.Parameter) -> int:
    """Return how many elements a parameter has on all ranks together."""
    return int(getattr(parameter, "ds_numel", parameter.numel()))


def gathers_by_layer(parameter: nn.Parameter) -> bool:
    """Tell whether every run of a parameter's layer gathers it, as under ZeRO-3."""
    return hasattr(parameter, "ds_numel")


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor whose parts may lie on several ranks; all must ask."""
    full = getattr(tensor, "full_tensor", None)
    return tensor if full is None else full()


def own_part(parameter: torch.Tensor) -> torch.Tensor:
    """Return what this rank keeps of a parameter, without its graph; all of it unless it is partitioned."""
    kept = getattr(parameter, "ds_tensor", parameter).detach()
    local = getattr(kept, "to_local", None)
    return kept if local is None else local()


def release(model: nn.Module) -> None:
    """Give back what a forward or backward pass outside of training left gathered.

    DeepSpeed does so at the end of its own backward and FSDP2 at that of the next one.
    """
    zero3: Any = next((p for p in model.parameters() if hasattr(p, "_z3_optimizer")), None)
    if zero3 is not None:
        zero3._z3_optimizer.parameter_offload.partition_all_parameters()
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


@contextmanager
def loading_whole(training: Any) -> Iterator[None]:
    """Load models within the block whole on every rank: to measure with, unknown to the trainer.

    Args:
        training: arguments of the Trainer, by which transformers would partition whatever is loaded under
            ZeRO-3, and would leave it empty on all ranks but the first under FSDP.
    """
    from transformers.integrations.deepspeed import set_hf_deepspeed_config, unset_hf_deepspeed_config

    by_fsdp = os.environ.pop("ACCELERATE_USE_FSDP", None)
    if training.deepspeed:
        unset_hf_deepspeed_config()
    try:
        yield
    finally:
        if by_fsdp is not None:
            os.environ["ACCELERATE_USE_FSDP"] = by_fsdp
        if training.deepspeed:
            set_hf_deepspeed_config(training.hf_deepspeed_config)
