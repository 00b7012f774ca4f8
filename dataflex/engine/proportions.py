"""Proportions over domains: reading them from a configuration and turning token shares into row shares."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dataflex.arrays import FloatArray, IntArray
from dataflex.errors import UserError


def as_proportions(
    given: Sequence[float] | Mapping[str, float], domains: Sequence[str], key: str
) -> FloatArray:
    """Return proportions that sum to one, in the order of ``domains``.

    Args:
        given: numbers in the order of the domains, or by name.
        domains: names.
        key: the configuration key, for messages.

    Raises:
        UserError: wrong length, unknown or missing names, negative, not finite, or all zero.
    """
    if isinstance(given, Mapping):
        unknown = [name for name in given if name not in domains]
        if unknown:
            raise UserError(
                f"{key} names {', '.join(map(repr, unknown))}, which dataset lacks ({', '.join(domains)}): "
                "remove it, or add it to dataset"
            )
        missing = [name for name in domains if name not in given]
        if missing:
            raise UserError(
                f"{key} has no proportion for {', '.join(missing)}: write one for every dataset, "
                f"`{missing[0]}: 0` to draw nothing from it"
            )
        given = [given[name] for name in domains]
    values = np.asarray(given, np.float64)
    if values.shape != (len(domains),):
        raise UserError(f"{key} has {len(given)} numbers for {len(domains)} datasets ({', '.join(domains)})")
    if not np.isfinite(values).all():
        raise UserError(f"{key} holds a number that is not finite: {list(given)}")
    if (values < 0).any():
        raise UserError(f"{key} holds a negative number: {list(given)}")
    if values.sum() <= 0:
        raise UserError(f"{key} is zero for every dataset: at least one must be positive")
    return values / values.sum()


LEARNED = "learned_proportions"
"""Key of a finished run's manifest under which its mixer offers proportions to later runs."""


def learned_proportions(run_dir: Path, domains: Sequence[str], key: str) -> FloatArray:
    """Return the proportions that a finished run has learned, in the order of ``domains``.

    Args:
        run_dir: its directory.
        domains: names; the run must have had the same ones, in any order.
        key: the configuration key, for messages.

    Raises:
        UserError: no finished run, one that learned no proportions, or other domains.
    """
    file = run_dir / "manifest.json"
    if not file.is_file():
        raise UserError(f"{key}: {run_dir} is not a run directory: it has no manifest.json")
    try:
        manifest = json.loads(file.read_text())
    except json.JSONDecodeError as error:
        raise UserError(f"{key}: {file} is damaged: {error}") from None
    if manifest.get("status") != "completed":
        raise UserError(f"{key}: the run in {run_dir} is not finished: start it again, it goes on")
    if not manifest.get(LEARNED):
        raise UserError(f"{key}: the run in {run_dir} learned no proportions; mixer doremi does")
    learned = manifest[LEARNED]
    if set(learned) != set(domains):
        raise UserError(
            f"{key}: the run in {run_dir} learned proportions of {', '.join(learned)}: name the same in "
            f"dataset, not {', '.join(domains)}"
        )
    return as_proportions(learned, domains, f"{key}: {run_dir}")


def row_shares(token_shares: FloatArray, loss_tokens: IntArray, rows: IntArray) -> FloatArray:
    """Return the shares of rows that give these shares of loss tokens.

    A domain of short rows needs more rows for the same tokens: ``q_d`` is proportional to ``p_d`` over the
    mean loss tokens of the domain's rows. A domain without rows gets none of them, and the others its part.

    Args:
        token_shares: asked proportions of loss tokens.
        loss_tokens: loss tokens of each domain's pool.
        rows: rows of each domain's pool.
    """
    filled = loss_tokens > 0
    shares = np.zeros(len(token_shares))
    shares[filled] = token_shares[filled] * rows[filled] / loss_tokens[filled]
    if shares.sum() <= 0:
        raise UserError("no domain with a positive proportion has any row to train on")
    return shares / shares.sum()
