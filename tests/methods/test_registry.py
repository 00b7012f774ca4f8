"""Names, parameters and messages of the registry; checks that every registered component must pass."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dataflex.catalogue import as_dict
from dataflex.engine.component import Component, Context, Facts, Mixer, Selector, StepLosses, Weighter
from dataflex.errors import UserError
from dataflex.registry import build, components
from dataflex.signals.embeddings import Embeddings

from .conftest import samples_with_states

At = Callable[..., Context]
ALL = [(kind, name) for kind, found in components().items() for name in found]


@pytest.mark.parametrize(
    ("kind", "name", "params", "message"),
    [
        ("select", "los", {}, "did you mean 'loss'"),
        ("mix", "xyz", {}, "doremi, dynamic_moe, odm, random, static"),
        ("select", "loss", {"focuss": "low"}, "unknown key 'focuss', did you mean 'focus'"),
        ("select", "loss", {"focus": "lowest"}, "'low', 'medium' or 'high', not 'lowest'"),
        ("select", "loss", {"focus_weight": "5"}, "focus_weight"),
        ("select", "loss", {"quantiles": [0.6, 0.3]}, "rise"),
        ("weight", "loss", {"r": 0}, "greater than 0"),
        ("weight", "loss", {"strategy": "uniform"}, "'none', not 'uniform'"),
        ("mix", "random", {"concentration": True}, "concentration"),
    ],
)
def test_mistakes_are_told_in_one_line(kind, name, params, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=message) as caught:
        build(kind, name, params)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_every_component_explains_itself(kind: str, name: str) -> None:
    about = as_dict()[kind][name]
    assert about["summary"]
    assert all(parameter["meaning"] for parameter in about["parameters"].values())
    assert not any(
        word in parameter["type"]
        for parameter in about["parameters"].values()
        for word in ("typing", "Literal", "Annotated", "FieldInfo", "Optional")
    )
    json.dumps(about)


def saved(component: Component) -> dict[str, Any]:
    """A component's state as it comes out of a checkpoint: arrays at the top level, else JSON."""
    state = component.state_dict()
    arrays = {key: value.copy() for key, value in state.items() if isinstance(value, np.ndarray)}
    rest = {key: value for key, value in state.items() if key not in arrays}
    return json.loads(json.dumps(rest)) | arrays


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_every_component_decides_the_same_again(kind: str, name: str, at: At, facts: Facts) -> None:
    """Same seed, step and losses: the same decision, also from a restored copy and on another rank."""
    params = components()[kind][name].example  # type: ignore[index]
    component, copy = build(kind, name, params), build(kind, name, params)  # type: ignore[arg-type]
    component.check(facts)
    if isinstance(component, Mixer):
        ones, excess = np.ones(3, int), np.array([[0.3, 0.3], [-0.2, 0.1], [0.0, 0.0]])
        routed = np.arange(24.0).reshape(3, 2, 4)
        component.observe(
            StepLosses(np.ones(3), ones, ones, np.full(3, 1 / 3), excess=excess, router_counts=routed), 4
        )
    if isinstance(component, Weighter):
        component.before_step(at())
    copy.load_state_dict(saved(component))
    np.random.seed(1)
    decisions = []
    for one in (component, copy):
        np.random.random()
        if isinstance(one, Selector):
            decisions.append(one.select(at(), 20))
        elif isinstance(one, Mixer):
            decisions.append(one.update(at()).proportions)
        else:
            assert isinstance(one, Weighter)
            decisions.append(one.weights(np.array([1.0, 4.0, 2.0]), at(samples=samples_with_states(3))))
    assert np.array_equal(*decisions)


@pytest.mark.parametrize(
    "name", sorted({name for kind, name in ALL if kind == "select"} - {"random", "custom"})
)
def test_selectors_follow_what_they_measure(name: str, at: At) -> None:
    """With the same random numbers, other losses and vectors bring other rows: no method is random in disguise."""
    params = components()["select"][name].example
    picked = []
    for turned in (False, True):
        selector = build("select", name, params)
        losses = np.linspace(1.0, 3.0, 100)
        vectors = np.random.default_rng(3).standard_normal((107, 8)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        pool = vectors[:100][::-1].copy() if turned else vectors[:100]
        for update in range(2):
            # Between the updates the losses of the first half fall, or those of the second.
            fallen = losses - update * np.where((np.arange(100) < 50) != turned, 0.8, 0.0)
            given = fallen[::-1] if turned and name != "delta_loss" else fallen
            context = at(5 + update, given, Embeddings(pool, vectors[100:]), update=update, updates=8)
            ids = selector.select(context, 20)  # type: ignore[attr-defined]
        picked.append(set(ids.tolist()))
    # A draw by the random numbers alone would pick the same 20 again. Methods that weigh a draw keep some of them.
    assert len(picked[0] & picked[1]) < 15


@pytest.mark.parametrize(("kind", "name"), [pair for pair in ALL if pair[0] == "weight"])
def test_weighters_do_not_depend_on_the_order_of_samples(kind: str, name: str, at: At) -> None:
    weighter = build(kind, name, components()[kind][name].example)  # type: ignore[arg-type, index]
    assert isinstance(weighter, Weighter)
    weighter.before_step(at())
    losses, samples = np.array([3.0, 1.0, 7.0, np.nan, 2.0]), samples_with_states(5)
    assert samples.states is not None
    reverse = replace(samples, rows=samples.rows[::-1], states=samples.states[::-1])
    turned = weighter.weights(losses[::-1], at(samples=reverse))[::-1]
    assert weighter.weights(losses, at(samples=samples)) == pytest.approx(turned)


def test_an_installed_package_offers_a_component(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an entry point of the group dataflex.components names is found like a built-in method."""
    from importlib.metadata import EntryPoint

    from dataflex import registry

    class Shortest(Selector):
        """Take the first rows."""

        def select(self, context: Context, n: int) -> np.ndarray:
            return np.arange(n)

    def points(group: str) -> list[EntryPoint]:
        assert group == "dataflex.components"
        return [EntryPoint(name, "somewhere:Shortest", group) for name in names]

    names = ["shortest", "broken"]

    def load(point: EntryPoint) -> type[Selector]:
        if point.name == "broken":
            raise ImportError("no module named elsewhere")
        return Shortest

    monkeypatch.setattr(registry, "entry_points", points)
    monkeypatch.setattr(EntryPoint, "load", load)
    assert isinstance(build("select", "shortest", {"seed": 4}), Shortest)
    assert build("select", "loss", {})
    with pytest.raises(UserError, match=r"'broken' .* can't be loaded: no module named elsewhere"):
        components()
    names = ["shortest"]
    with pytest.raises(UserError, match="did you mean 'shortest'"):
        build("select", "shortst", {})
    names = ["loss"]
    with pytest.raises(UserError, match="two components are called 'loss'"):
        build("select", "loss", {})


def test_a_components_own_seed_is_a_parameter_of_all() -> None:
    assert all("seed" in as_dict()[kind][name]["parameters"] for kind, name in ALL)
