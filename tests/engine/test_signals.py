"""What is promised to components is what they get."""

import inspect

import pytest

from dataflex.engine.measuring import Measurements
from dataflex.engine.signals import Signals

PROMISED = [name for name in vars(Signals) if not name.startswith("_")]


@pytest.mark.parametrize("name", PROMISED)
def test_measurements_take_what_signals_promise(name: str) -> None:
    """Also by keyword."""
    promised, given = (inspect.signature(getattr(cls, name)).parameters for cls in (Signals, Measurements))
    assert [(p.name, p.default) for p in given.values()] == [(p.name, p.default) for p in promised.values()]
