"""The next token of many continuations, drawn from filtered logits with one given random number each.

The draw inverts the cumulative distribution in vocabulary order. With one number a token it depends on
nothing else in the batch, and rounding in the logits changes it only where the number falls on the edge
between two tokens.
"""

from __future__ import annotations

import torch


def candidates(logits: torch.Tensor, top_k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the tokens with the largest logits, those that tie with the last one included.

    Args:
        logits: shape ``(B, V)``.
        top_k: 0 keeps the whole vocabulary.

    Returns:
        Logits and tokens in rising order of the tokens, both of shape ``(B, K)``. ``K`` is that of the row
        with most ties; in other rows logits of minus infinity fill it up.
    """
    if not 0 < top_k < logits.shape[1]:
        return logits, torch.arange(logits.shape[1], device=logits.device).expand_as(logits)
    smallest = logits.topk(top_k).values[:, -1:]
    width = int((logits >= smallest).sum(1).max())
    largest, tokens = logits.topk(width)
    tokens, order = tokens.sort(dim=1)
    return largest.masked_fill(largest < smallest, -torch.inf).gather(1, order), tokens


def nucleus(logits: torch.Tensor, top_p: float) -> torch.Tensor:
    """Put minus infinity for every token that a set of likelier ones of mass ``top_p`` makes superfluous.

    Shape ``(B, K)`` in and out; equal logits count as falling in the order of their columns.
    """
    if top_p >= 1:
        return logits
    falling, order = logits.sort(dim=1, descending=True, stable=True)
    shares = falling.softmax(dim=1)
    superfluous = shares.cumsum(dim=1) - shares >= top_p
    return logits.masked_fill(torch.zeros_like(superfluous).scatter(1, order, superfluous), -torch.inf)


def draw(
    logits: torch.Tensor, uniforms: torch.Tensor, temperature: float, top_k: int, top_p: float
) -> torch.Tensor:
    """Draw one token a row: temperature, then top-k, then top-p, as in Hugging Face's ``generate``.

    Args:
        logits: finite or minus infinity, shape ``(B, V)``.
        uniforms: one number in [0, 1) a row, float64, on the CPU, shape ``(B,)``.
        temperature: above 0; towards 0 the likeliest token is drawn.
        top_k: see ``candidates``.
        top_p: see ``nucleus``.

    Returns:
        Tokens on the CPU, shape ``(B,)``.
    """
    scores, tokens = candidates(logits.float() / temperature, top_k)
    if top_k:
        # Few numbers are left, and the CPU adds them up in the same order every time.
        scores, tokens = scores.cpu(), tokens.cpu()
    cumulative = nucleus(scores.double(), top_p).softmax(dim=1).cumsum(dim=1)
    # Rounding may leave the last value off one: the number is a share of what is there.
    wanted = uniforms.to(cumulative.device)[:, None] * cumulative[:, -1:]
    return tokens.gather(1, (cumulative <= wanted).sum(1, keepdim=True))[:, 0].cpu()
