"""From weights of samples or domains to the factors that token losses are multiplied by.

The loss of an optimizer step is ``sum_i m_i S_i / N``: ``S_i`` is the sum of a sample's token losses, ``N``
the number of all supervised tokens of the step. Equal weights of tokens give the factor one to all.
"""

from __future__ import annotations

import numpy as np

from dataflex.arrays import FloatArray


def loss_factors(weights: FloatArray, loss_tokens: FloatArray, *, of_means: bool) -> FloatArray:
    """Return the factors ``m_i`` of all groups of tokens of an optimizer step: its samples or its domains.

    Weights of tokens give the loss ``sum_i w_i S_i / sum_i w_i n_i``; weights of means give
    ``sum_i w_i (S_i / n_i) / sum_i w_i``, over the groups that have tokens.

    Args:
        weights: one a group, any common scale.
        loss_tokens: supervised tokens ``n_i`` of each group.
        of_means: whether a weight multiplies the group's mean loss.

    Raises:
        ValueError: see ``token_weights`` and ``common_scale``.
    """
    per_token = token_weights(weights, loss_tokens, of_means=of_means)
    return per_token * common_scale(float((per_token * loss_tokens).sum()), float(loss_tokens.sum()))


def token_weights(weights: FloatArray, loss_tokens: FloatArray, *, of_means: bool) -> FloatArray:
    """Return what each token of a group counts, before a common scale; see ``loss_factors``.

    Raises:
        ValueError: a weight is negative or not finite, or there is not one for each group.
    """
    weights = np.asarray(weights, np.float64)
    if weights.shape != loss_tokens.shape:
        raise ValueError(f"weights of shape {weights.shape} for {len(loss_tokens)} groups of tokens")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("a weight is negative or not finite")
    weights = np.where(loss_tokens > 0, weights, 0.0)
    return weights / np.maximum(loss_tokens, 1) if of_means else weights


def common_scale(weighted_tokens: float, loss_tokens: float) -> float:
    """Return what makes the weights of a step's tokens one in the mean; 1 for a step without any.

    Args:
        weighted_tokens: sum of the weights of the step's supervised tokens.
        loss_tokens: number of them.

    Raises:
        ValueError: all of them have weight zero.
    """
    if loss_tokens == 0:
        return 1.0
    if weighted_tokens <= 0:
        raise ValueError(
            "every sample of the step has weight zero: give some of each step a weight, or say that weights "
            "are absolute"
        )
    return loss_tokens / weighted_tokens
