"""How many tokens each expert of a mixture-of-experts model gets, from the very forward that trains.

Hugging Face's MoE models say which of their modules are routers: those that ``output_router_logits`` records.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn
from typing_extensions import override

from dataflex.errors import UserError
from dataflex.signals.taps import Tap


def routers_of(model: nn.Module) -> list[nn.Module]:
    """Return the routers of a model in the order of its layers; none for a dense one.

    A model's SwiGLU ``gate_proj`` and the gate of a shared expert are no routers.
    """
    kinds = tuple(kind for module in model.modules() for kind in router_classes(type(module)))
    return [module for module in model.modules() if isinstance(module, kinds)]


def router_classes(model_class: type) -> list[type]:
    """Return the classes of the routers that a Hugging Face model's class records.

    Where it records a whole block or a plain linear layer instead, choices can't be read: that is none.
    """
    recorded = (getattr(model_class, "_can_record_outputs", None) or {}).get("router_logits")
    kind = getattr(recorded, "target_class", recorded)
    return [kind] if isinstance(kind, type) and "Router" in kind.__name__ else []


def freeze_routers(model: nn.Module) -> None:
    """Take the routers, and nothing else, out of training.

    Raises:
        UserError: see ``RouterTap``.
    """
    for router in _some(model):
        router.requires_grad_(False)


class RouterTap(Tap):
    """Counts the tokens that each router sends to each expert in the forward that is listened to.

    Args:
        model: a causal language model, with or without adapters.

    Raises:
        UserError: the model has no routers.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        routers = _some(model)
        self._counts: list[torch.Tensor | None] = [None] * len(routers)
        for layer, router in enumerate(routers):
            router.register_forward_hook(partial(self._hear, layer))

    def _hear(self, layer: int, router: nn.Module, inputs: Any, output: Any) -> None:
        if self._mask is not None:
            self._counts[layer] = _tokens_of_experts(router, output, self._mask)

    @override
    def _forget(self) -> None:
        self._counts = [None] * len(self._counts)

    def take(self) -> torch.Tensor:
        """Return the counts of the forward that was heard last, and forget them.

        Padding does not count. Each token counts once for each of the experts that it is sent to.

        Returns:
            Shape ``(B, layers, experts)``.
        """
        counts = [one for one in self._counts if one is not None]
        if len(counts) < len(self._counts):
            raise RuntimeError("no forward was heard")
        self._forget()
        return torch.stack(counts, dim=1)


def _some(model: nn.Module) -> list[nn.Module]:
    routers = routers_of(model)
    if not routers:
        raise UserError(
            f"{type(model).__name__} has no router that tells which experts it chooses: take a "
            "mixture-of-experts model such as Mixtral, Qwen-MoE or OLMoE"
        )
    return routers


def _tokens_of_experts(router: nn.Module, output: Any, mask: torch.Tensor) -> torch.Tensor:
    """Return the tokens of each sample that a router sends to each expert, shape ``(B, experts)``."""
    parts = [part for part in output if isinstance(part, torch.Tensor)] if isinstance(output, tuple) else []
    chosen = [part for part in parts if not part.is_floating_point()]
    scores = [part for part in parts if part.is_floating_point()]
    if len(chosen) != 1 or not scores:
        raise UserError(f"{type(router).__name__} does not tell which experts it chooses for a token")
    # Of the scores, those of all experts are the widest.
    experts = max(part.shape[-1] for part in scores)
    indices = chosen[0].detach().view(*mask.shape, -1)
    counted = mask.to(indices.device, torch.int64)[:, :, None].expand_as(indices)
    counts = torch.zeros(len(mask), experts, dtype=torch.int64, device=indices.device)
    # Whole numbers: the order of additions on a GPU does not matter.
    return counts.scatter_add_(1, indices.flatten(1), counted.flatten(1))
