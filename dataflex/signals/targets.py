"""Directions that rows are compared with: mean unit gradients of validation rows, a subtask at a time.

LESS (Xia et al. 2024, arXiv 2402.04333) scores a row by the mean cosine between its gradient feature and the
gradients of validation rows. A mean of cosines is linear in the validation side, so one direction a subtask
is all that is needed of it: exact, without a projection and without a matrix of rows times validation rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from dataflex.arrays import FloatArray, IntArray
from dataflex.collectives import sum_over_ranks
from dataflex.errors import UserError
from dataflex.signals.features import GradientFeatures, Targets
from dataflex.signals.gradients import SampleGradients, trainable
from dataflex.signals.losses import sample_losses, sum_of_mean_losses
from dataflex.signals.passes import Batch, Rows, my_batches, round_of, token_batches
from dataflex.signals.projection import Projection
from dataflex.signals.sharding import elements

HELD_ELEMENTS = 2**28
"""Gradient elements of validation samples that are held at once: 1 GiB in fp32."""


@dataclass(frozen=True)
class _Turn:
    """One batch of a pass."""

    samples: list[int]
    counts: bool
    """Whether this rank's result counts; see ``my_batches``."""
    shape: tuple[int, int]
    loss: Callable[[], torch.Tensor]
    last: bool = True
    """Whether no further batch adds to the gradients of the same samples."""


def validation_targets(
    model: nn.Module, rows: Rows, groups: IntArray, features: GradientFeatures, batch_tokens: int
) -> Targets:
    """Return the mean unit gradient of each group of rows.

    Args:
        model: in evaluation mode.
        rows: the validation rows.
        groups: group of each row, shape ``(rows,)``.
        features: its projection, if any, is applied before the norm is taken.
        batch_tokens: padded tokens of a batch at the most.

    Raises:
        UserError: a group without a row whose gradient is finite and not zero.
    """
    batches = small(token_batches(rows.lengths, batch_tokens), model)

    def turns() -> Iterator[_Turn]:
        for samples, counts in my_batches(batches, "Measuring the validation gradients"):
            batch = rows.batch(samples)
            yield _Turn(samples, counts, _shape(batch), partial(sum_of_mean_losses, model, batch))

    return _mean_directions(model, turns(), groups, features)


def policy_targets(
    model: nn.Module,
    rows: Rows,
    advantages: FloatArray,
    groups: IntArray,
    features: GradientFeatures,
    batch_tokens: int,
) -> Targets:
    """Return the mean unit policy gradient of each group of prompts.

    Args:
        model: in evaluation mode.
        rows: the continuations of all prompts behind their prompts, prompt after prompt; only continuations
            are supervised.
        advantages: shape ``(prompts, continuations)``.
        groups: group of each prompt, shape ``(prompts,)``.
        features: see ``validation_targets``.
        batch_tokens: padded tokens of a batch at the most.

    Raises:
        UserError: a group without a prompt whose policy gradient is finite and not zero.
    """
    prompts, each = advantages.shape
    tokens = rows.lengths.reshape(prompts, each).max(1) * each
    telling = np.flatnonzero(advantages.any(axis=1))
    batches = small([telling[b].tolist() for b in token_batches(tokens[telling], batch_tokens)], model)

    def parts_of(samples: list[int]) -> int:
        return min(each, max(1, -(-int(tokens[samples].max()) * len(samples) // batch_tokens)))

    def turns() -> Iterator[_Turn]:
        for turn, (samples, counts) in enumerate(my_batches(batches, "Measuring the policy gradients")):
            # Where even one prompt's continuations don't fit together, their gradients are added up; on all
            # ranks in as many parts.
            parts = max(map(parts_of, round_of(batches, turn)))
            for part, own in enumerate(np.array_split(np.arange(each), parts)):
                batch = rows.batch((np.array(samples)[:, None] * each + own).ravel().tolist())
                weights = torch.from_numpy(advantages[samples][:, own].ravel())
                loss = partial(_weighted_loss, model, batch, weights)
                yield _Turn(samples, counts, _shape(batch), loss, last=part == parts - 1)

    return _mean_directions(model, turns(), groups, features)


def _weighted_loss(model: nn.Module, batch: Batch, weights: torch.Tensor) -> torch.Tensor:
    labels = batch.pop("labels")
    loss_sums, _ = sample_losses(model(**batch).logits, labels)
    return (loss_sums * weights.to(loss_sums)).sum()


def _shape(batch: Batch) -> tuple[int, int]:
    rows, positions = batch["labels"].shape
    return rows, positions


def small(batches: list[list[int]], model: nn.Module) -> list[list[int]]:
    """Cut batches so that the gradients of one can be held; a single row's always are."""
    most = max(1, HELD_ELEMENTS // sum(elements(parameter) for _, parameter in trainable(model)))
    return [batch[start : start + most] for batch in batches for start in range(0, len(batch), most)]


def hold(
    held: list[torch.Tensor],
    projection: Projection | None,
    parameter: int,
    chunk: slice,
    gradients: torch.Tensor,
) -> None:
    """Keep the gradients of some samples in ``held``, one tensor a parameter or one with a projection."""
    if projection is None:
        held[parameter][chunk] += gradients
    else:
        held[0][chunk] += projection.apply(parameter, gradients)


def add_units(
    directions: list[torch.Tensor], gradients: list[torch.Tensor], group: torch.Tensor
) -> torch.Tensor:
    """Add the unit gradients of samples to their groups' directions; tell which are finite and not zero.

    Args:
        directions: one tensor a parameter, shape ``(groups, elements)``; changed in place.
        gradients: likewise, shape ``(samples, elements)``.
        group: of each sample.
    """
    norms = torch.stack([part.double().square().sum(1) for part in gradients]).sum(0).sqrt()
    good = torch.isfinite(norms) & (norms > 0)
    # A product with 0, 1 / norm in the group's row: sums by index have no fixed order on a GPU.
    scale = torch.where(good, 1 / norms, 0).float()
    members = torch.nn.functional.one_hot(group, len(directions[0])).T * scale
    for direction, part in zip(directions, gradients, strict=True):
        direction += members @ torch.nan_to_num(part, posinf=0, neginf=0)
    return good


def _mean_directions(
    model: nn.Module, turns: Iterator[_Turn], groups: IntArray, features: GradientFeatures
) -> Targets:
    """Add up the unit gradients of samples group by group.

    The gradients of a batch are held together, because their norms are known only at the end of it.
    """
    engine = SampleGradients(model)
    device = engine.parameters[0][1].device
    count, projection = int(groups.max()) + 1, features.projection
    widths = engine.elements if projection is None else [projection.dimension]
    directions = [torch.zeros(count, width, device=device) for width in widths]
    # Samples of each group that count, and last those that don't.
    used = torch.zeros(count + 1, dtype=torch.int64)
    held: list[torch.Tensor] = []
    for turn in turns:
        held = held or [torch.zeros(len(turn.samples), width, device=device) for width in widths]
        engine.run(turn.loss, turn.shape, len(turn.samples), partial(hold, held, projection))
        if not turn.last:
            continue
        if turn.counts:
            group = torch.from_numpy(groups[turn.samples]).to(device)
            good = add_units(directions, held, group)
            used += torch.bincount(torch.where(good, group, count).cpu(), minlength=count + 1)
        held = []
    used = sum_over_ranks(used)
    counts = used[:-1]
    if not counts.all():
        raise UserError(
            f"{int((counts == 0).sum())} of {count} validation subtasks have no row with a gradient that is "
            "finite and not zero: check that the rows of eval_dataset have answers within cutoff_len, and "
            "that training has not diverged"
        )
    share = 1 / counts.to(device).float().unsqueeze(1)
    for index in range(len(directions)):
        # One after the other: they are as large as the trained parameters, once a group.
        directions[index] = sum_over_ranks(directions[index]).mul_(share)
    return Targets(directions, counts.tolist(), int(used[-1]))
