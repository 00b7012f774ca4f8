"""Per-sample gradients and Adam's moments on two ranks against one process, and what the pass leaves behind."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from dataflex.signals.passes import Rows

from ..signals.conftest import gradient_alone  # noqa: F401
from .conftest import launch
from .sharded import ADAM, MEASURED, MODELS, STRATEGIES, micro_batch, rows

pytestmark = pytest.mark.slow

# What follows the name of a layer in that of a parameter; and what follows that of a block.
LAYER = (
    re.compile(r"\.(weight|bias|scale)$"),
    re.compile(r"(?<=layers\.\d)\..*$"),
)

Found = Callable[[str, str, int], dict[str, Any]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    folder = tmp_path_factory.mktemp("sharded")
    launch("tests.parallel.sharded", [str(folder)], 2, timeout=900)

    def of(strategy: str, kind: str, rank: int) -> dict[str, Any]:
        result = torch.load(folder / f"{strategy}-{kind}-{rank}.pt", weights_only=True)
        assert "error" not in result, result["error"]
        return dict(result)

    return of


def trained_alone(kind: str) -> tuple[nn.Module, torch.optim.Optimizer]:
    """The model after one optimizer step on the micro-batches of both ranks."""
    model = MODELS[kind]()
    own = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(own, **ADAM)
    for number in (0, 1):
        for rank in (0, 1):
            (model(**micro_batch(number, rank)).loss / 4).backward()
    optimizer.step()
    optimizer.zero_grad()
    return model.eval(), optimizer


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert torch.isfinite(found).all()
    error = (found - expected).norm(dim=-1) / expected.norm(dim=-1).clamp(min=1e-30)
    assert error.max() < 1e-5, error


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_gradients_and_moments_equal_those_of_one_process(
    found: Found,
    strategy: str,
    kind: str,
    gradient_alone: Callable[[nn.Module, Rows, int], torch.Tensor],  # noqa: F811
) -> None:
    model, optimizer = trained_alone(kind)
    state = [optimizer.state[p] for p in model.parameters() if p.requires_grad]
    for rank, chosen in enumerate(MEASURED):
        mine = found(strategy, kind, rank)
        close(mine["gradients"], torch.stack([gradient_alone(model, rows(), row) for row in chosen]))
        for key, name in (("first", "exp_avg"), ("second", "exp_avg_sq")):
            close(mine[key], torch.cat([one[name].flatten() for one in state]))
        assert mine["steps"] == {1}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_pass_between_micro_batches_leaves_no_trace(found: Found, strategy: str, kind: str) -> None:
    """Parameters, accumulated gradients and optimizer right after it, and everything after the next step."""
    for rank in (0, 1):
        mine = found(strategy, kind, rank)
        assert mine["watched"] > 10
        assert mine["touched"] == []
        assert mine["after"] == mine["unmeasured"]


@pytest.mark.parametrize("kind", MODELS)
def test_zero3_never_gathers_more_than_one_layer(found: Found, kind: str) -> None:
    """One linear layer. Of one block: all where it is recomputed, the adapters in front of which all is frozen."""
    for rank in (0, 1):
        mine = found("zero3", kind, rank)
        layers = {LAYER[kind in ("checkpointed", "lora")].sub("", name) for name in mine["gathered"]}
        assert len(layers) == 1
        assert mine["left"] == []
