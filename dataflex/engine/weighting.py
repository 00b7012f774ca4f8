"""From a weighter's weights to the factors that the token losses of an optimizer step are multiplied by."""

from __future__ import annotations

from typing import Literal

import numpy as np

from dataflex.engine.component import FloatArray


def loss_factors(
    weights: FloatArray, loss_tokens: FloatArray, mass: Literal["token", "sample"]
) -> FloatArray:
    """Return the factor of each sample's summed token losses, given all samples of an optimizer step.

    With ``mass="token"`` the step's loss is ``sum_i w_i sum_j l_ij / sum_i w_i n_i``; with
    ``mass="sample"`` it is ``sum_i w_i mean_j l_ij / sum_i w_i``. The factors are those ``m`` for which
    ``sum_i m_i sum_j l_ij / sum_i n_i`` is that loss, so that equal weights of tokens give exactly one.

    Args:
        weights: one a sample, non-negative, any common scale.
        loss_tokens: supervised tokens ``n_i`` of each sample.
        mass: what a weight multiplies.

    Raises:
        ValueError: a weight is negative or not finite, or all samples with supervised tokens have weight 0.
    """
    if weights.shape != loss_tokens.shape:
        raise ValueError(f"{len(weights)} weights for {len(loss_tokens)} samples")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("a weight is negative or not finite")
    weights = np.where(loss_tokens > 0, weights, 0.0)
    per_token = weights if mass == "token" else weights / np.maximum(loss_tokens, 1)
    total = float((per_token * loss_tokens).sum())
    if total <= 0:
        raise ValueError("every sample of the step has weight zero")
    return per_token * (float(loss_tokens.sum()) / total)
