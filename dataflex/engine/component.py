"""All that a method's file imports from the engine.

A component is a class with typed parameters and one decision rule. It sees the run only through the
context that is handed to it, so that it can be tested with plain arrays. Everything a decision needs from
the model is asked of the context; everything that must survive a crash goes through ``state_dict``.

    what it is         Selector, Mixer, Weighter; Component, which they share, with its Needs
    what it sees       Context, with Facts, Signals and Samples; StepLosses after a step
    what it says       row ids, a Mixture, one weight a sample

The engine and the host import from the modules below themselves.
"""

from __future__ import annotations

from dataflex.arrays import FloatArray, IntArray
from dataflex.engine.base import Component, Need
from dataflex.engine.context import Context, Samples
from dataflex.engine.facts import Facts, ValidationFacts
from dataflex.engine.mixer import Mixer, Mixture
from dataflex.engine.selector import Selector
from dataflex.engine.signals import Signals
from dataflex.engine.step_losses import StepLosses
from dataflex.engine.weighter import Weighter

__all__ = [
    "Component",
    "Context",
    "Facts",
    "FloatArray",
    "IntArray",
    "Mixer",
    "Mixture",
    "Need",
    "Samples",
    "Selector",
    "Signals",
    "StepLosses",
    "ValidationFacts",
    "Weighter",
]
