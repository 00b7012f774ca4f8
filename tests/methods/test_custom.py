"""A selector or weighter of one's own: found, validated, and used like any other."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from pydantic import Field

from dataflex.engine.component import Context, FloatArray, Samples, Selector, Weighter
from dataflex.engine.schedule import Kind
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


def by_loss(losses: FloatArray, context: Context, power: float = 1.0) -> FloatArray:
    return np.asarray(losses**power)


class Later(Weighter):
    """Weighs by the largest loss that was seen, and by the step of its last measurement."""

    needs = frozenset({"per_sample_loss", "validation_set"})
    scale: Annotated[float, Field(gt=0)] = 1.0
    mass: Literal["token", "sample"] = "sample"
    _largest: float = 0.0
    _measured: int = 0

    def by_sample(self) -> bool:
        return True

    def relative(self) -> bool:
        return False

    def before_step(self, context: Context) -> None:
        self._measured = context.step

    def weights(self, losses: FloatArray, context: Context) -> FloatArray:
        return np.full(len(losses), self.scale * self._largest + self._measured)

    def observe(self, losses: FloatArray, samples: Samples, step: int) -> None:
        self._largest = float(losses.max())

    def state_dict(self) -> dict[str, Any]:
        return {"largest": self._largest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._largest = state["largest"]


def custom(name: str, kind: Kind = "select", **params: Any) -> Any:
    return build(kind, "custom", {"path": f"{HERE}:{name}", **params})


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


def test_a_function_weighs(at: At) -> None:
    losses = np.array([1.0, 2.0, 4.0])
    assert custom("by_loss", "weight").weights(losses, at()).tolist() == [1, 2, 4]
    one = custom("by_loss", "weight", params={"power": 2.0}, scope="sample", normalize="absolute")
    assert one.weights(losses, at()).tolist() == [1, 4, 16]
    assert (one.by_sample(), one.relative(), one.mass) == (True, False, "token")
    plain = custom("by_loss", "weight", signals=["validation_set"], mass="sample")
    assert (plain.by_sample(), plain.relative(), plain.mass) == (False, True, "sample")
    assert plain.requirements() == {"per_sample_loss", "validation_set"}


def test_a_class_weighs_as_it_says_itself(at: At) -> None:
    one, other = (custom("Later", "weight", params={"scale": 2.0}) for _ in range(2))
    assert (one.by_sample(), one.relative(), one.mass) == (True, False, "sample")
    assert one.requirements() == Later.needs
    losses = np.array([3.0, 5.0])
    one.observe(losses, Samples(*(np.zeros(2, int),) * 3), 4)
    one.before_step(at(7))
    assert one.weights(losses, at()).tolist() == [17, 17]
    other.load_state_dict(one.state_dict())
    assert other.weights(losses, at()).tolist() == [10, 10]
    assert custom("Later", "weight", mass="token").mass == "token"


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("Longest", {}, "neither a function nor a Weighter class"),
        ("takes_nothing", {}, r"must take \(losses, context\)"),
        ("Later", {"params": {"scale": -1.0}}, "params.scale of .* greater than 0"),
        ("Later", {"scope": "sample"}, "scope is for functions"),
        ("by_loss", {"signals": ["hidden_states"]}, "set scope: sample"),
    ],
)
def test_mistakes_with_weighters_are_told_in_one_line(
    name: str, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        custom(name, "weight", **params)
    assert "\n" not in str(caught.value)
