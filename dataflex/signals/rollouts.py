"""Continuations of prompts, sampled in batches from the present weights.

Every token is drawn with a random number of its own, which depends on the seed, the prompt's number, the
continuation's number and the token's place alone. So continuations don't depend on batches, padding or
ranks, up to rounding in the model's logits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from dataflex.arrays import FloatArray, IntArray
from dataflex.collectives import sum_over_ranks
from dataflex.errors import UserError
from dataflex.signals.next_token import draw
from dataflex.signals.passes import IGNORED, my_batches, token_batches


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
    batch_tokens: int | None = None
    """Tokens of all continuations of a batch at the most; None leaves it to what measures."""


@dataclass(frozen=True)
class Rollouts:
    """Continuations of every validation prompt, row after row."""

    prompts: tuple[str, ...]
    """Text of each prompt, without special tokens."""
    references: tuple[str, ...]
    """Text of the supervised tokens that follow each prompt: the right answer."""
    texts: tuple[tuple[str, ...], ...]
    """Continuations as text, without special tokens."""
    prompt_tokens: tuple[IntArray, ...]
    tokens: tuple[tuple[IntArray, ...], ...]
    """Sampled tokens, with the end-of-sequence token where one was sampled."""
    cut: float
    """Share of the continuations that no such token ended."""


def sample_rollouts(
    model: nn.Module,
    tokenizer: Any,
    rows: Sequence[tuple[Sequence[int], Sequence[int]]],
    sampling: Sampling,
    seed: int,
    batch_tokens: int,
    device: torch.device,
    eos_token_ids: Sequence[int],
) -> Rollouts:
    """Sample continuations of the prompt of every row, sharded over the ranks.

    Ranks go forward together, one token after the other, because a sharded model's forward is a collective
    operation. A prompt goes through the model once; its continuations start from copies of its cache.

    Args:
        model: a causal language model in evaluation mode (see ``untouched``).
        tokenizer: turns tokens into text.
        rows: input tokens and labels of each validation row. What precedes the first supervised token is
            the prompt, and the supervised tokens from there without a gap are the reference.
        sampling: how to sample.
        seed: of the draws, from 0.
        batch_tokens: tokens of all continuations of a batch at the most, prompts and padding included.
        device: where the model takes its input.
        eos_token_ids: tokens that end a continuation.

    Returns:
        The continuations, equal on all ranks.

    Raises:
        UserError: a row has no prompt, the model keeps no cache that can be copied, or its logits are not
            finite.
    """
    split = [_prompt_and_reference(number, *row) for number, row in enumerate(rows)]
    if not split:
        raise UserError("there are no validation prompts to continue: eval_dataset has no rows")
    prompts = [prompt for prompt, _ in split]
    width, batches = _batches([len(prompt) for prompt in prompts], sampling, batch_tokens)
    # Tokens plus one, so that a sum over ranks puts them together and 0 means that there is none.
    drawn = torch.zeros(len(prompts), sampling.continuations, sampling.max_new_tokens, dtype=torch.int64)
    broken = torch.zeros(1, dtype=torch.int64)
    for parts, counts in my_batches(batches, "Sampling continuations"):
        uniforms = np.stack(
            [_uniforms(seed, row, first + i, sampling) for row, first in parts for i in range(width)]
        )
        batch = [prompts[row] for row, _ in parts]
        tokens, sound = _continue(model, batch, width, uniforms, sampling, device, eos_token_ids)
        if counts:
            broken += int((~sound).sum())
            for (row, first), part in zip(parts, tokens.split(width), strict=True):
                space = drawn[row, first : first + width]
                space[:] = part[: len(space)] + 1
    if int(sum_over_ranks(broken)):
        raise UserError(
            "no continuations can be sampled because the model's logits are not finite: "
            "training has diverged, lower learning_rate"
        )
    every = sum_over_ranks(drawn)
    if not bool((every[:, :, 0] > 0).all()):
        raise RuntimeError("a continuation was not sampled")
    kept = tuple(tuple(one[one > 0].numpy() - 1 for one in row) for row in every)
    ended = [int(one[-1]) in set(eos_token_ids) for row in kept for one in row]
    return Rollouts(
        prompts=tuple(_texts(tokenizer, prompts)),
        references=tuple(_texts(tokenizer, [reference for _, reference in split])),
        texts=tuple(tuple(_texts(tokenizer, row)) for row in kept),
        prompt_tokens=tuple(np.asarray(prompt, np.int64) for prompt in prompts),
        tokens=kept,
        cut=1 - sum(ended) / len(ended),
    )


def reference_texts(tokenizer: Any, rows: Iterable[tuple[Sequence[int], Sequence[int]]]) -> tuple[str, ...]:
    """Return the right answer of every row, as ``sample_rollouts`` will, without a model.

    Args:
        tokenizer: turns tokens into text.
        rows: see ``sample_rollouts``.

    Raises:
        UserError: a row has no prompt.
    """
    split = (_prompt_and_reference(number, *row) for number, row in enumerate(rows))
    return tuple(_texts(tokenizer, [reference for _, reference in split]))


def _prompt_and_reference(
    number: int, tokens: Sequence[int], labels: Sequence[int]
) -> tuple[list[int], list[int]]:
    supervised = [label != IGNORED for label in labels]
    start = supervised.index(True) if True in supervised else len(labels)
    if start == 0:
        raise UserError(
            f"row {number} of the validation set has no prompt because all its tokens are supervised: "
            "sampling continuations needs an eval_dataset of stage sft, without train_on_prompt"
        )
    end = supervised.index(False, start) if False in supervised[start:] else len(labels)
    return list(tokens[:start]), list(tokens[start:end])


def _batches(
    lengths: Sequence[int], sampling: Sampling, batch_tokens: int
) -> tuple[int, list[list[tuple[int, int]]]]:
    """Group prompts of similar length; split a prompt's continuations where they don't fit together.

    Returns:
        How many continuations of a prompt go together; batches of prompt and first continuation.
    """
    full = np.asarray(lengths, np.int64) + sampling.max_new_tokens
    fitting = max(1, batch_tokens // int(full.max()))
    width = -(-sampling.continuations // -(-sampling.continuations // fitting))
    firsts = range(0, sampling.continuations, width)
    parts = [(row, first) for row in range(len(full)) for first in firsts]
    groups = token_batches(np.repeat(full * width, len(firsts)), batch_tokens)
    return width, [[parts[i] for i in group] for group in groups]


def _uniforms(seed: int, row: int, continuation: int, sampling: Sampling) -> FloatArray:
    """Return a number in [0, 1) for each place of a continuation: a counter-based stream of its own."""
    stream = np.random.Philox(
        key=np.array([seed, row], np.uint64), counter=np.array([0, 0, 0, continuation], np.uint64)
    )
    return np.random.Generator(stream).random(sampling.max_new_tokens)


def _continue(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    width: int,
    uniforms: FloatArray,
    sampling: Sampling,
    device: torch.device,
    eos_token_ids: Sequence[int],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Continue each prompt ``width`` times with draws from ``uniforms``, shape ``(prompts * width, places)``.

    Returns:
        Tokens, -1 after the end, same shape; whether a continuation's logits were finite throughout.
    """
    longest = max(map(len, prompts))
    inputs = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    # Positions as without the padding on the left.
    positions = (mask.cumsum(1) - 1).clamp(min=0).to(device)
    inputs, mask = inputs.to(device), mask.to(device)
    numbers = torch.from_numpy(uniforms)
    ends = torch.tensor(list(eos_token_ids), dtype=torch.int64)
    tokens = torch.full(numbers.shape, -1, dtype=torch.int64)
    going = torch.ones(len(tokens), dtype=torch.bool)
    sound = torch.ones(len(tokens), dtype=torch.bool)
    cache: Any = None
    for place in range(sampling.max_new_tokens):
        with torch.no_grad():
            output = model(
                input_ids=inputs,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            )
        logits = output.logits[:, -1]
        if cache is None:
            cache = _copied(output, width)
            logits, mask = logits.repeat_interleave(width, 0), mask.repeat_interleave(width, 0)
            positions = positions[:, -1:].repeat_interleave(width, 0)
        finite = logits.amax(1).isfinite()
        sound &= finite.cpu() | ~going
        logits = torch.where(finite[:, None], logits, torch.zeros_like(logits))
        drawn = draw(logits, numbers[:, place], sampling.temperature, sampling.top_k, sampling.top_p)
        tokens[going, place] = drawn[going]
        going &= ~torch.isin(drawn, ends)
        if not int(sum_over_ranks(going.sum()[None])):
            break
        inputs = drawn[:, None].to(device)
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        positions = positions + 1
    return tokens, sound


def _copied(output: Any, width: int) -> Any:
    """Return the cache of the prompts with ``width`` copies of each, one after the other."""
    cache = getattr(output, "past_key_values", None)
    try:
        cache.batch_repeat_interleave(width)  # type: ignore[union-attr]
    except AttributeError:
        raise UserError(
            "sampling continuations needs a model whose attention cache can be copied; "
            f"this one returns {'none' if cache is None else type(cache).__name__}: "
            "choose a method that needs no generation"
        ) from None
    return cache


def _texts(tokenizer: Any, tokens: Sequence[Sequence[int] | IntArray]) -> list[str]:
    return [tokenizer.decode([int(token) for token in one], skip_special_tokens=True) for one in tokens]
