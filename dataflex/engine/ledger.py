"""The ledger: what was trained on, by domain, from the very numbers of the training forward.

Every micro-batch adds its token losses; at the end of an optimizer step the sums are reduced over ranks
once. Nothing here runs the model. The ledger answers two questions: what did the last step show (for
mixers), and what happened since the last logging step (for ``ledger.jsonl``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from dataflex.arrays import FloatArray, IntArray
from dataflex.collectives import concatenate_ranks, sum_over_ranks
from dataflex.engine.step_losses import StepLosses

_BAD = 3
"""Row of a step's sums that counts the samples whose losses are not finite."""


class NotFiniteError(ArithmeticError):
    """A step's losses are not finite.

    Args:
        domains: indices of the domains in which that is so.
        ranks: the processes that met it.
    """

    def __init__(self, domains: list[int], ranks: list[int]) -> None:
        super().__init__(domains, ranks)
        self.domains, self.ranks = domains, ranks


class Ledger:
    """Sums of token losses, supervised tokens and samples, by domain.

    Args:
        domains: number of domains.
    """

    def __init__(self, domains: int) -> None:
        self._step: torch.Tensor | None = None
        self._experts: torch.Size | None = None
        """Layers and experts of the router counts, if there are any."""
        self._interval = np.zeros((4, domains))
        self.total_loss_tokens: IntArray = np.zeros(domains, np.int64)
        self.total_samples: IntArray = np.zeros(domains, np.int64)
        self.domains = domains

    def record(
        self,
        domain: torch.Tensor,
        loss_sums: torch.Tensor,
        loss_tokens: torch.Tensor,
        *,
        excess: torch.Tensor | None = None,
        router_counts: torch.Tensor | None = None,
    ) -> None:
        """Add one micro-batch of this rank.

        Args:
            domain: domain index of each sample, shape ``(B,)``.
            loss_sums: sum of each sample's token losses in nats, shape ``(B,)``.
            loss_tokens: supervised tokens of each sample, shape ``(B,)``.
            excess: sums of excess losses and of their positive parts, shape ``(B, 2)``.
            router_counts: tokens of each sample that each expert got, shape ``(B, layers, experts)``.
        """
        looked_at = loss_sums if excess is None else loss_sums + excess.sum(1)
        # Counted, because one that is not finite leaves its mark on the sums of all domains.
        bad = ~torch.isfinite(looked_at)
        columns = [torch.stack([loss_sums, loss_tokens, torch.ones_like(loss_sums), bad]).double()]
        if excess is not None:
            columns.append(excess.T.double())
        if router_counts is not None:
            self._experts = router_counts.shape[1:]
            columns.append(router_counts.flatten(1).T.double())
        samples = torch.cat(columns)
        if self._step is None:
            self._step = torch.zeros(len(samples), self.domains, dtype=torch.float64, device=loss_sums.device)
        # A product with the one-hot domains, not index_add_: on a GPU that adds in no fixed order.
        self._step += samples @ F.one_hot(domain, self.domains).double()

    def close_step(self, proportions: FloatArray, *, asked: bool) -> StepLosses:
        """Reduce the step over ranks, add it to the running sums and return it.

        Args:
            proportions: shares of the loss tokens that the step was drawn with.
            asked: whether it was drawn by domain.

        Raises:
            NotFiniteError: on all ranks, when a loss was NaN or infinite on one of them.
        """
        if self._step is None:
            raise RuntimeError("an optimizer step ended in which no micro-batch was recorded")
        sums = sum_over_ranks(self._step).cpu().numpy()
        if sums[_BAD].any():
            ranks = concatenate_ranks(self._step[_BAD, None]).cpu().numpy().any(1)
            raise NotFiniteError(np.flatnonzero(sums[_BAD]).tolist(), np.flatnonzero(ranks).tolist())
        self._step = None
        self._interval[:3] += sums[:3]
        if asked:
            self._interval[3] += proportions * sums[1].sum()
        counts = sums[1:3].astype(np.int64)
        self.total_loss_tokens += counts[0]
        self.total_samples += counts[1]
        rest = sums[_BAD + 1 :]
        routed = None
        if self._experts is not None:
            columns = self._experts.numel()
            rest, routed = rest[:-columns], rest[-columns:].T.reshape(self.domains, *self._experts)
        return StepLosses(
            loss_sums=sums[0],
            loss_tokens=counts[0],
            samples=counts[1],
            proportions=proportions,
            excess=rest.T if len(rest) else None,
            router_counts=routed,
        )

    def close_interval(self) -> tuple[FloatArray, IntArray, IntArray, FloatArray]:
        """Return what was summed since the last call, and start a new interval.

        Returns:
            By domain: loss sums in nats, loss tokens, samples, and the loss tokens that were asked for.
        """
        sums, self._interval = self._interval, np.zeros((4, self.domains))
        return sums[0], sums[1].astype(np.int64), sums[2].astype(np.int64), sums[3]

    def state_dict(self) -> dict[str, Any]:
        """Return the sums between optimizer steps, as JSON types (floats survive JSON exactly)."""
        return {
            "interval": self._interval.tolist(),
            "total_loss_tokens": self.total_loss_tokens.tolist(),
            "total_samples": self.total_samples.tolist(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self._step = None
        self._interval = np.asarray(state["interval"], np.float64)
        self.total_loss_tokens = np.asarray(state["total_loss_tokens"], np.int64)
        self.total_samples = np.asarray(state["total_samples"], np.int64)
