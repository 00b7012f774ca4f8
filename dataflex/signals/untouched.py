"""A pass over the model in the midst of training that leaves no trace."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from dataflex.signals.sharding import release


@contextmanager
def untouched(model: nn.Module, *, backward: bool = False) -> Iterator[None]:
    """Run a block with the model in evaluation mode and restore mode and all random states after it.

    Gradients and parameters are the block's own duty: it must not call an optimizer, and ``backward`` only
    with all parameters frozen. The mode is restored module by module, since LoRA or frozen parts may differ
    from the rest.

    Args:
        model: the model in training.
        backward: the block runs backward: keep gradient checkpointing, which works in training mode only, so
            that what fits in training fits here. Dropout is off in any case.
    """
    modes = [(module, module.training) for module in model.modules()]
    python_state, numpy_state, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda_states = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    release(model)
    model.eval()
    if backward:
        for module in model.modules():
            # The block's own switch, not that of the layers in it.
            module.training = bool(getattr(module, "gradient_checkpointing", False))
    try:
        yield
    finally:
        release(model)
        for module, training in modes:
            module.training = training
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)
        if cuda_states:
            torch.cuda.set_rng_state_all(cuda_states)
