"""A selector of one's own: found, validated, and used like any other."""

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import pytest
from pydantic import Field

from dataflex.engine.component import Context, Selector
from dataflex.errors import UserError
from dataflex.registry import build

At = Callable[..., Context]
HERE = __name__


def first_rows(context: Context, n: int, offset: int = 0) -> np.ndarray:
    return np.arange(offset, offset + n)


def takes_nothing() -> None: ...


class Longest(Selector):
    """Remembers how often it was asked."""

    needs = frozenset({"per_sample_loss"})
    skip: Annotated[int, Field(ge=0)] = 0
    _asked: int = 0

    def select(self, context: Context, n: int) -> np.ndarray:
        self._asked += 1
        return np.argsort(-context.signals.losses())[self.skip :][:n]

    def state_dict(self) -> dict[str, Any]:
        return {"asked": self._asked}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._asked = state["asked"]


def custom(name: str, **params: Any) -> Any:
    return build("select", "custom", {"path": f"{HERE}:{name}", **params})


def test_a_function_selects(at: At) -> None:
    assert custom("first_rows").select(at(), 3).tolist() == [0, 1, 2]
    assert custom("first_rows", params={"offset": 5}).select(at(), 3).tolist() == [5, 6, 7]
    assert custom("first_rows", signals=["embeddings"]).requirements() == {"embeddings"}


def test_a_class_selects_and_keeps_its_state(at: At) -> None:
    one, other = custom("Longest", params={"skip": 1}), custom("Longest")
    assert one.select(at(), 2).tolist() == [98, 97]
    assert one.requirements() == {"per_sample_loss"}
    other.load_state_dict(one.state_dict())
    assert other.state_dict() == {"asked": 1}


def test_the_seed_of_a_class_is_that_of_the_component() -> None:
    path = "dataflex.selectors.random:RandomSelector"
    assert build("select", "custom", {"path": path, "params": {"seed": 5}}).seed == 5
    assert build("select", "custom", {"path": path, "params": {"seed": 5}, "seed": 6}).seed == 6


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "path is missing"),
        ({"path": "nowhere"}, "path must be package.module:name, not 'nowhere'"),
        ({"path": "nowhere_at_all:f"}, "can't be imported: No module named 'nowhere_at_all'"),
        ({"path": f"{HERE}:missing"}, "can't be imported"),
        ({"path": f"{HERE}:HERE"}, "neither a function nor a Selector class"),
        ({"path": f"{HERE}:takes_nothing"}, r"must take \(context, n\)"),
        ({"path": f"{HERE}:first_rows", "params": {"offfset": 1}}, "unexpected keyword argument 'offfset'"),
        ({"path": f"{HERE}:Longest", "params": {"skip": -1}}, "params.skip of .* greater than or equal to 0"),
    ],
)
def test_mistakes_are_told_in_one_line(params: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build("select", "custom", params)
    assert "\n" not in str(caught.value)
