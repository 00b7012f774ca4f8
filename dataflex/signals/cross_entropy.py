"""The cross entropy of every token, without the logits of all of them in fp32 at once.

A model in bf16 returns bf16 logits; a vocabulary of 150,000 makes their fp32 copy the largest tensor of a
step, and autograd keeps its softmax beside it. Here both exist for a few thousand tokens at a time: the
forward keeps one number a token, from which the backward makes the softmax anew.
"""

from __future__ import annotations

from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor

from dataflex.signals.passes import IGNORED

_ELEMENTS = 2**24
"""Logits that are held in fp32 at once: 64 MiB."""
_ELEMENTS_ON_CPU = 2**19
"""The same where every pass over more than a core's cache holds would go to memory: 2 MiB."""


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the negative log-likelihood of each target in nats; 0 where the target is ``IGNORED``.

    Args:
        logits: shape ``(N, V)``, any floating type; computed in fp32.
        targets: shape ``(N,)``.

    Returns:
        fp32, shape ``(N,)``; differentiable once with respect to the logits.
    """
    losses: torch.Tensor = _CrossEntropy.apply(logits, targets)
    return losses


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        normalisers = torch.empty(len(logits), dtype=torch.float32, device=logits.device)
        losses = torch.empty_like(normalisers)
        for part in _parts(logits):
            wide = logits[part].float()
            counted = targets[part] != IGNORED
            normalisers[part] = torch.logsumexp(wide, 1)
            target = wide.gather(1, targets[part].where(counted, 0).unsqueeze(1)).squeeze(1)
            losses[part] = torch.where(counted, normalisers[part] - target, 0.0)
        ctx.save_for_backward(logits, targets, normalisers)
        return losses

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor, None]:
        logits, targets, normalisers = ctx.saved_tensors
        counted = targets != IGNORED
        scale = torch.where(counted, upstream[0].float(), 0.0).unsqueeze(1)
        gradient = torch.empty_like(logits)
        for part in _parts(logits):
            softmax = logits[part].float().sub_(normalisers[part].unsqueeze(1)).exp_().mul_(scale[part])
            at_target = targets[part].where(counted[part], 0).unsqueeze(1)
            softmax.scatter_add_(1, at_target, -scale[part])
            gradient[part] = softmax
        return gradient, None


def _parts(logits: torch.Tensor) -> list[slice]:
    elements = _ELEMENTS_ON_CPU if logits.device.type == "cpu" else _ELEMENTS
    rows = max(1, elements // max(1, logits.shape[1]))
    parts = [slice(start, start + rows) for start in range(0, len(logits), rows)]
    # Of tensors without numbers only the memory is of interest, and all parts take the same.
    return parts[:1] if isinstance(logits, FakeTensor) else parts
