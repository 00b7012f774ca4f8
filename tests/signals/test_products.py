"""Products in full precision, whatever a training run has allowed."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from dataflex.signals.products import full_precision

MAKERS: list[Any] = [torch.backends.cuda.matmul, torch.backends.mkldnn.matmul]


def allow_tf32(allowed: bool) -> None:
    """Do as transformers does at ``tf32: true``, and only once in a process."""
    torch.backends.fp32_precision = "tf32" if allowed else "ieee"


def state() -> list[str]:
    return [torch.backends.fp32_precision, *(maker.fp32_precision for maker in MAKERS)]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    allowed, *own = state()
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.fp32_precision = allowed
    for maker, precision in zip(MAKERS, own, strict=True):
        maker.fp32_precision = precision


@pytest.mark.parametrize(
    "allow",
    [
        lambda: None,
        lambda: allow_tf32(True),
        lambda: allow_tf32(False),
        lambda: torch.set_float32_matmul_precision("high"),
        lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True),
    ],
    ids=["nothing", "tf32", "no tf32", "older function", "older flag"],
)
def test_products_are_exact_within_and_as_before_behind(allow: Callable[[], Any]) -> None:
    allow()
    allowed = state()
    with full_precision():
        assert [maker.fp32_precision for maker in MAKERS] == ["ieee", "ieee"]
    assert state() == allowed
    with pytest.raises(ZeroDivisionError), full_precision():
        raise ZeroDivisionError
    assert state() == allowed


def test_a_run_can_forbid_tf32_afterwards() -> None:
    allow_tf32(True)
    with full_precision():
        pass
    allow_tf32(False)
    assert state() == ["ieee"] * 3
