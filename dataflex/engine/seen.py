"""What one forward showed of the samples of a micro-batch, on its device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from dataflex.arrays import FloatArray
from dataflex.engine.context import Samples


@dataclass(frozen=True)
class Seen:
    """What a forward showed of a micro-batch; shape ``(B,)``, without gradient."""

    rows: torch.Tensor
    domains: torch.Tensor
    loss_sums: torch.Tensor
    loss_tokens: torch.Tensor
    states: torch.Tensor | None = None
    """See ``Samples.states``."""
    excess: torch.Tensor | None = None
    """Sums of excess losses and of their positive parts, shape ``(B, 2)``; in the training forward only."""
    router_counts: torch.Tensor | None = None
    """See ``Ledger.record``."""

    def samples(self) -> Samples:
        """Return what a weighter may know of them."""
        return Samples(
            self.rows.cpu().numpy(),
            self.domains.cpu().numpy(),
            self.loss_tokens.cpu().numpy().astype(np.int64),
            None if self.states is None else self.states.double().cpu().numpy(),
        )

    def table(self) -> FloatArray:
        """Return loss sums and tokens, shape ``(B, 2)``."""
        return torch.stack([self.loss_sums, self.loss_tokens], 1).double().cpu().numpy()
