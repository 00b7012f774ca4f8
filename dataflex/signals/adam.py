"""The step that Adam would take with a sample's gradient: LESS's feature of a training sample.

LESS (Xia et al. 2024, arXiv 2402.04333), section 3.1. The moments are read from the optimizer that trains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn

from dataflex.errors import UserError
from dataflex.signals.sharding import gathers_by_layer, whole

EpsMode = Literal["outside", "inside"]


@dataclass(frozen=True)
class Moments:
    """Adam's state of one parameter, flattened; zeros before the first step."""

    first: torch.Tensor | None
    second: torch.Tensor | None
    steps: int
    betas: tuple[float, float]
    eps: float


MomentsOf = Callable[[int], Moments]
"""Returns the moments of the parameter with this index, whole on every rank.

Parts that lie on several ranks are put together, so that all ranks have to ask for the same parameters in the
same order. Nobody holds those of all parameters at once.
"""


def read_moments(optimizer: Any, parameters: Sequence[tuple[str, nn.Parameter]]) -> MomentsOf:
    """Return what reads the moments of every parameter, as long as the optimizer takes no further step.

    Args:
        optimizer: that trains, possibly DeepSpeed's.
        parameters: as ``gradients.trainable`` returns them.

    Raises:
        UserError: the optimizer is not of Adam's family, or its moments don't have a parameter's shape.
    """
    if any(hasattr(parameter, "_hp_mapping") or gathers_by_layer(parameter) for _, parameter in parameters):
        return _partitioned(optimizer, parameters)
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    if not all("betas" in groups.get(id(p), {}) and "eps" in groups[id(p)] for _, p in parameters):
        raise UserError(_refusal(optimizer))

    states = [_checked_state(optimizer, name, parameter) for name, parameter in parameters]
    # Now and not when asked for: a fused optimizer counts on the GPU, which every look waits for.
    counted = [
        replace(_none_yet(groups[id(p)]), steps=int(state["step"]) if state else 0)
        for (_, p), state in zip(parameters, states, strict=True)
    ]

    def of(index: int) -> Moments:
        state = states[index]
        if not state:
            return counted[index]
        return replace(
            counted[index],
            first=whole(state["exp_avg"].detach()).float().flatten(),
            second=whole(state["exp_avg_sq"].detach()).float().flatten(),
        )

    return of


def _checked_state(optimizer: Any, name: str, parameter: nn.Parameter) -> Mapping[str, Any]:
    state: Mapping[str, Any] = optimizer.state.get(parameter) or {}
    if state and not {"exp_avg", "exp_avg_sq", "step"} <= set(state):
        raise UserError(_refusal(optimizer))
    if state and state["exp_avg"].numel() != parameter.numel():
        raise UserError(f"the optimizer's moments of {name} don't have its shape; say gradient_type: sgd")
    return state


def _none_yet(group: Mapping[str, Any]) -> Moments:
    return Moments(None, None, 0, (float(group["betas"][0]), float(group["betas"][1])), float(group["eps"]))


def _partitioned(optimizer: Any, parameters: Sequence[tuple[str, nn.Parameter]]) -> MomentsOf:
    """DeepSpeed keeps the moments of many parameters, or parts of them, in one flat tensor a rank."""
    from deepspeed.utils import safe_get_full_optimizer_state

    groups = optimizer.param_groups
    if not all("betas" in group and "eps" in group for group in groups):
        raise UserError(_refusal(optimizer))
    none_yet = _none_yet(groups[0])
    if any(_none_yet(group) != none_yet for group in groups):
        raise UserError(
            "Adam's betas and eps differ between groups of parameters, which DeepSpeed doesn't tell apart: "
            "make them equal, or say gradient_type: sgd"
        )
    states = [state for state in optimizer.state.values() if state]
    if not all({"exp_avg", "exp_avg_sq", "step"} <= set(state) for state in states):
        raise UserError(_refusal(optimizer))
    steps = max((int(state["step"]) for state in states), default=0)
    if steps:
        for _, parameter in parameters:
            _link(parameter, optimizer)

    def part(parameter: nn.Parameter, key: str) -> torch.Tensor:
        trained = parameter.requires_grad
        # DeepSpeed has nothing to say about a frozen parameter.
        parameter.requires_grad_(True)
        try:
            found: torch.Tensor = safe_get_full_optimizer_state(parameter, key)
        finally:
            parameter.requires_grad_(trained)
        return found.detach().float().flatten()

    def of(index: int) -> Moments:
        if not steps:
            return none_yet
        parameter = parameters[index][1]
        return replace(
            none_yet,
            first=part(parameter, "exp_avg"),
            second=part(parameter, "exp_avg_sq"),
            steps=steps,
        )

    return of


def _link(parameter: nn.Parameter, optimizer: Any) -> None:
    """Link a parameter to its moments under ZeRO-1 and 2.

    DeepSpeed does so when its first group of parameters has taken a step, and not again when the others have.
    """
    mapping: Any = getattr(parameter, "_hp_mapping", None)
    if mapping is not None and "exp_avg" not in (mapping.optim_fragment or {}):
        (flat,) = optimizer.param_groups[mapping.param_group_index]["params"]
        mapping.set_optim_state_fragment(flat, optimizer.state[flat])


def _refusal(optimizer: Any) -> str:
    kind = type(getattr(optimizer, "optimizer", optimizer)).__name__
    return (
        f"gradient_type: adam needs Adam's moments, which {kind} does not keep: set optim: adamw_torch, "
        "or gradient_type: sgd"
    )


def adam_step(gradients: torch.Tensor, moments: Moments, mode: EpsMode) -> torch.Tensor:
    """Turn gradients into Adam's next step with each of them alone, without the learning rate.

    Args:
        gradients: shape ``(n, elements)``, fp32; overwritten.
        moments: of this parameter.
        mode: ``outside``, the paper and Adam itself: bias-corrected, eps added to the root.
            ``inside``, LESS's published code: not corrected, eps added under the root.

    Returns:
        Shape ``(n, elements)``.
    """
    beta1, beta2 = moments.betas
    squares = gradients.square().mul_(1 - beta2)
    if moments.second is not None:
        squares.add_(moments.second, alpha=beta2)
    step = gradients.mul_(1 - beta1)
    if moments.first is not None:
        step.add_(moments.first, alpha=beta1)
    if mode == "inside":
        return step.div_(squares.add_(moments.eps).sqrt_())
    taken = moments.steps + 1
    step.div_(1 - beta1**taken)
    return step.div_(squares.div_(1 - beta2**taken).sqrt_().add_(moments.eps))
