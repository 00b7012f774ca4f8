"""What a run's component answered and what it asked for, as the functions return it.

Watched are the public functions of the component's own modules, of the modules of ``dataflex.signals`` that
these import from, of what the engine measures for components and of what it takes from them. So a method's
raw scores, proportions and weights are seen, not only the rows that come of them; private functions may be
moved about without notice.
"""

from __future__ import annotations

import inspect
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CodeType, FrameType, ModuleType
from typing import Any

import numpy as np

from dataflex.engine import answers, conductor, measuring
from dataflex.engine.base import Component
from dataflex.golden.values import Leaf, leaves

ENGINE = "dataflex.engine"
SIGNALS = "dataflex.signals"


@dataclass
class Trace:
    """What was returned, by function and place in what it returned, call after call."""

    returned: dict[str, list[Leaf]] = field(default_factory=lambda: defaultdict(list))
    rows: dict[int, np.ndarray] = field(default_factory=dict)
    """Row ids of each optimizer step, in the order that they were trained in."""


def modules_of(component: Component) -> list[ModuleType]:
    """Return the modules in which a component and what it stands in for are written, their bases included."""
    private = component.__pydantic_private__ or {}
    found = {
        base.__module__: sys.modules[base.__module__]
        for base in type(component).__mro__
        if issubclass(base, Component) and not base.__module__.startswith(ENGINE)
    }
    for value in private.values():
        if isinstance(value, Component):
            found |= {module.__name__: module for module in modules_of(value)}
        elif inspect.isfunction(value):
            found[value.__module__] = sys.modules[value.__module__]
    return [found[name] for name in sorted(found)]


def signals_of(modules: list[ModuleType]) -> list[ModuleType]:
    """Return the modules of ``dataflex.signals`` that some modules import from."""
    sources = {getattr(value, "__module__", "") for module in modules for value in vars(module).values()}
    return [sys.modules[name] for name in sorted(sources) if str(name).startswith(SIGNALS)]


def functions_of(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Yield name and function of everything that a module defines, methods and properties too."""
    for name, value in vars(module).items():
        if getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(value):
            yield name, value
        elif inspect.isclass(value):
            for inner, member in vars(value).items():
                function = member.fget if isinstance(member, property) else member
                function = getattr(function, "__func__", function)
                if inspect.isfunction(function) and function.__module__ == module.__name__:
                    yield f"{name}.{inner}", function


@contextmanager
def tracing(component: Component) -> Iterator[Trace]:
    """Watch a component's run in this thread for a block."""
    trace = Trace()
    own = modules_of(component)
    labels: dict[int, str] = {}
    kept: list[CodeType] = []  # so that no other code gets the same id
    for module in [*own, *signals_of(own), measuring, answers]:
        for name, function in functions_of(module):
            code = function.__code__
            if not name.rpartition(".")[2].startswith("_") and not code.co_flags & inspect.CO_GENERATOR:
                labels[id(code)] = f"{module.__name__.removeprefix('dataflex.')}:{name}"
                kept.append(code)
    rows_code = conductor.Conductor.rows_of_step.__code__

    def watch(frame: FrameType, event: str, returned: Any) -> None:
        if event != "return" or returned is None:
            return
        code = frame.f_code
        if code is rows_code:
            trace.rows[int(frame.f_locals["step"])] = returned.copy()
        label = labels.get(id(code))
        if label is not None:
            for place, leaf in leaves(returned):
                trace.returned[f"{label} {place}".strip()].append(leaf)

    sys.setprofile(watch)
    try:
        yield trace
    finally:
        sys.setprofile(None)
