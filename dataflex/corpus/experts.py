"""Feed-forward layers of experts for the tiny model, in the proportions of Qwen1.5-MoE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dataflex.errors import UserError


@dataclass(frozen=True, slots=True)
class Experts:
    """How many experts every layer has, and to how many of them a token is sent."""

    number: int
    per_token: int = 2

    def __post_init__(self) -> None:
        if self.number < 2:
            raise UserError(f"--experts is {self.number}; it must be at least 2, or 0 for a dense model")
        if not 1 <= self.per_token <= self.number:
            raise UserError(
                f"--experts-per-token is {self.per_token}; it must be from 1 to --experts ({self.number})"
            )

    def sizes(self, intermediate_size: int) -> dict[str, Any]:
        """Return what transformers' Qwen2MoeConfig says of experts.

        Half of a token's width goes through the shared expert, half through those that it is sent to, so that
        its feed-forward layers cost it what those of the dense model cost.

        Args:
            intermediate_size: width of the dense model's feed-forward layers.

        Raises:
            UserError: the width can't be divided so.
        """
        if intermediate_size % (2 * self.per_token):
            raise UserError(
                f"--intermediate-size {intermediate_size} must be a multiple of twice --experts-per-token "
                f"({self.per_token}): the shared expert takes one half, a token's experts split the other"
            )
        return {
            "num_experts": self.number,
            "num_experts_per_tok": self.per_token,
            "moe_intermediate_size": intermediate_size // (2 * self.per_token),
            "shared_expert_intermediate_size": intermediate_size // 2,
            # Weights of the chosen experts that are not scaled to sum to one depend on the scores of all, so
            # that routers learn from the loss, even of one expert a token. Balancing experts by a loss of its
            # own is for the run to ask for (moe_aux_loss_coef).
            "norm_topk_prob": False,
        }
