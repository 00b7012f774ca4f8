"""What a reward judges, and what a reward is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

Judgement = Callable[[str, str, str], float]
"""Judges one text, given prompt, reference and text."""


class Answer(NamedTuple):
    """A text that a model gave to a prompt."""

    prompt: str
    reference: str
    """The right answer; may be empty where the reward does not look at it."""
    text: str


Reward = Callable[[Sequence[Answer]], list[float]]
"""Judges many answers at once: one finite number each, in their order."""
