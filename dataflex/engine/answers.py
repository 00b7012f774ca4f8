"""What components answer, looked at before anything is done with it.

An answer that breaks the contract is a mistake in the method's code (``ValueError``); one that no code could
help, such as a selection from losses that are all NaN, is told to the user.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dataflex.arrays import FloatArray, IntArray
from dataflex.engine.facts import Facts
from dataflex.engine.selector import Selector
from dataflex.errors import UserError


def selected_rows(answer: Any, name: str, selector: Selector, asked: int, facts: Facts) -> IntArray:
    """Return the row ids that a selector answered.

    Args:
        answer: what it returned.
        name: of the selector.
        selector: says whether rows may come twice.
        asked: most rows that it may return.
        facts: of the run.

    Raises:
        UserError: it found no row.
        ValueError: too many ids, ids of no row, a row twice, or no ids at all.
    """
    ids = np.asarray(answer)
    if not ids.size:
        raise UserError(
            f"selector {name!r} found no row with a finite score: training may have diverged, lower "
            "learning_rate"
        )
    if not (ids.ndim == 1 and len(ids) <= asked and np.issubdtype(ids.dtype, np.integer)):
        raise ValueError(
            f"selector {name!r} must return 1 to {asked} row ids in one dimension, "
            f"not shape {ids.shape} of {ids.dtype}"
        )
    if ids.min() < 0 or ids.max() >= facts.total_rows:
        raise ValueError(f"selector {name!r} returned an id outside of 0..{facts.total_rows - 1}")
    if not selector.repeats_rows() and len(np.unique(ids)) < len(ids):
        raise ValueError(f"selector {name!r} returned a row twice, which repeats_rows does not announce")
    return ids.astype(np.int64)


def domain_values(answer: Any, name: str, what: str, domains: int) -> FloatArray:
    """Return the non-negative numbers, one a domain, that a mixer answered.

    Args:
        answer: what it returned.
        name: of the mixer.
        what: the numbers are, for the message.
        domains: how many there are.

    Raises:
        ValueError: another number of them, one that is negative or not finite, or all are zero.
    """
    values = np.array(answer, np.float64)
    if values.shape != (domains,) or not np.isfinite(values).all() or (values < 0).any():
        raise ValueError(f"mixer {name!r} returned {values}, which are not {what}")
    if values.sum() <= 0:
        raise ValueError(f"mixer {name!r} returned {what} that are all zero")
    return values


def sample_weights(answer: Any, name: str, samples: int) -> FloatArray:
    """Return the weights, one a sample, that a weighter answered; sign and finiteness are looked at later.

    Args:
        answer: what it returned.
        name: of the weighter.
        samples: how many there are.

    Raises:
        ValueError: another number of them.
    """
    weights = np.asarray(answer, np.float64)
    if weights.shape != (samples,):
        raise ValueError(f"weighter {name!r} returned weights of shape {weights.shape}, not {(samples,)}")
    return weights
