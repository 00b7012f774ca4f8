"""Token losses in pieces against torch's own, in double precision."""

import pytest
import torch
import torch.nn.functional as F

from dataflex.signals import cross_entropy as module
from dataflex.signals.cross_entropy import cross_entropy
from dataflex.signals.passes import IGNORED


@pytest.mark.parametrize(("rows", "pieces"), [(1, 1), (128, 1), (300, 3)])
def test_pieces_give_torchs_losses_and_gradients(rows: int, pieces: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    logits = 5 * torch.randn(rows, 4096, generator=generator)
    targets = torch.randint(4096, (rows,), generator=generator)
    targets[rows // 2] = IGNORED if rows > 1 else targets[0]
    weights = torch.rand(rows, generator=generator)
    assert len(module._parts(logits)) == pieces

    mine = logits.clone().requires_grad_()
    losses = cross_entropy(mine, targets)
    (losses * weights).sum().backward()
    true = logits.double().requires_grad_()
    expected = F.cross_entropy(true, targets, reduction="none", ignore_index=IGNORED)
    (expected * weights.double()).sum().backward()

    assert mine.grad is not None
    assert true.grad is not None
    torch.testing.assert_close(losses.double(), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(mine.grad.double(), true.grad, rtol=1e-5, atol=1e-7)
