"""The step that Adam would take with a sample's gradient: LESS's feature of a training sample.

LESS (Xia et al. 2024, arXiv 2402.04333), section 3.1. The moments are read from the optimizer that trains.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from dataflex.errors import UserError

EpsMode = Literal["outside", "inside"]


@dataclass(frozen=True)
class Moments:
    """Adam's state of one parameter, flattened; zeros before the first step."""

    first: torch.Tensor | None
    second: torch.Tensor | None
    steps: int
    betas: tuple[float, float]
    eps: float


def read_moments(optimizer: Any, parameters: Iterable[tuple[str, nn.Parameter]]) -> list[Moments]:
    """Read the moments of every parameter.

    Raises:
        UserError: the optimizer is not of Adam's family.
    """
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    found = []
    for name, parameter in parameters:
        group = groups.get(id(parameter))
        if group is None or "betas" not in group or "eps" not in group:
            raise UserError(_refusal(optimizer))
        state = optimizer.state.get(parameter) or {}
        if state and not {"exp_avg", "exp_avg_sq", "step"} <= set(state):
            raise UserError(_refusal(optimizer))
        if state and state["exp_avg"].numel() != parameter.numel():
            raise UserError(f"the optimizer's moments of {name} don't have its shape; say gradient_type: sgd")
        found.append(
            Moments(
                first=state["exp_avg"].detach().float().flatten() if state else None,
                second=state["exp_avg_sq"].detach().float().flatten() if state else None,
                steps=int(state["step"]) if state else 0,
                betas=tuple(group["betas"]),
                eps=float(group["eps"]),
            )
        )
    return found


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
