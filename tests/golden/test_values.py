"""Taking values apart, and watching what functions return."""

import sys
from dataclasses import dataclass

import numpy as np
import torch

from dataflex.golden.cases import Case, every_case
from dataflex.golden.tracing import modules_of, tracing
from dataflex.golden.values import leaves
from dataflex.registry import components


@dataclass
class Inner:
    array: np.ndarray
    name: str = "n"
    nothing: None = None


def plain(value):
    return [(place, leaf if isinstance(leaf, str) else leaf.tolist()) for place, leaf in leaves(value)]


def test_leaves_of_what_methods_return() -> None:
    value = {"a": Inner(np.ones(2)), "b": [1, 2], "c": [np.zeros(1), np.ones(1)], "d": (0.5, None), "e": True}
    found = plain(value)
    assert found[0] == ("a.array", [1.0, 1.0])
    assert found[1] == ("a.name", "n")
    assert found[2] == ("b", [1, 2])
    assert found[3:5] == [("c", [0.0]), ("c", [1.0])]
    assert found[5][0] == "d"
    assert np.isnan(found[5][1][1])
    assert found[6] == ("e", 1)
    assert plain(object()) == []


def test_leaves_are_copies_in_full_precision() -> None:
    array = np.ones(3, np.float32)
    tensor = torch.ones(2, requires_grad=True)
    ((_, one),), ((_, other),) = leaves(array), leaves(tensor)
    array += 1
    with torch.no_grad():
        tensor += 1
    assert one.tolist() == [1, 1, 1]
    assert other.tolist() == [1, 1]
    assert one.dtype == other.dtype == np.float64


def test_a_trace_holds_what_public_functions_returned() -> None:
    weighter = Case("weight", "loss").component()
    with tracing(weighter) as trace:
        weighter.preference(np.array([1.0, 2.0]), (1.0, 2.0))
        weighter.preference(np.array([2.0]), (1.0, 2.0))
        weighter.state_dict()
    assert sys.getprofile() is None
    key = "weighters.loss:LossWeighter.preference"
    assert [leaf.tolist() for leaf in trace.returned[key]] == [[0.0, 1.0], [1.0]]
    assert set(trace.returned) == {key}


def test_modules_of_a_component_hold_its_bases_and_what_it_stands_in_for() -> None:
    names = {
        case.label: {module.__name__ for module in modules_of(case.component())} for case in every_case()
    }
    assert names["select.less"] == {"dataflex.selectors.less", "dataflex.selectors._influence"}
    assert names["weight.custom"] == {"dataflex.weighters.custom", "dataflex.weighters.loss"}


def test_every_registered_component_has_a_case() -> None:
    assert {(case.kind, case.name) for case in every_case()} == {
        (kind, name) for kind, found in components().items() for name in found
    }
