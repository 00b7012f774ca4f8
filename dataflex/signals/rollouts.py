"""Continuations of prompts, sampled in batches from the present weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Sampling:
    """How continuations are sampled."""

    continuations: int
    """Continuations of each prompt."""
    temperature: float
    top_p: float
    top_k: int
    """0: no limit."""
    max_new_tokens: int


@dataclass(frozen=True)
class Rollouts:
    """Continuations of every validation prompt, row after row."""

    prompts: tuple[str, ...]
    """Text of each prompt, without special tokens."""
    references: tuple[str, ...]
    """Text of each row's supervised tokens: the right answer."""
    texts: tuple[tuple[str, ...], ...]
    """Continuations as text, without special tokens."""
    prompt_tokens: tuple[npt.NDArray[np.int64], ...]
    tokens: tuple[tuple[npt.NDArray[np.int64], ...], ...]
    """Sampled tokens, with the end-of-sequence token where one was sampled."""
