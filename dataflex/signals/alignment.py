"""How far the gradients of rows point along the directions of a validation set.

One pass over the rows leaves an inner product and a norm a row; gradients are consumed layer by layer while
the backward pass runs and are never stored, unless a projection is asked for and kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from dataflex.arrays import FloatArray, IntArray
from dataflex.collectives import sum_over_ranks
from dataflex.signals.adam import Moments, MomentsOf, adam_step
from dataflex.signals.features import GradientFeatures, Targets
from dataflex.signals.gradients import SampleGradients
from dataflex.signals.losses import sum_of_mean_losses
from dataflex.signals.passes import Batch, Rows, my_batches, refuse_gaps, round_of, token_batches
from dataflex.signals.products import full_precision
from dataflex.signals.store import GradientStore

TINY = 1e-12


class _Reduction:
    """Inner products with targets, and norms, of the gradient features of a batch."""

    def __init__(
        self, samples: int, targets: Targets, features: GradientFeatures, moments: MomentsOf | None
    ) -> None:
        self._targets, self._features, self._moments = targets, features, moments
        self._present: Moments
        device = targets.directions[0].device
        self.products = torch.zeros(samples, len(targets.counts), dtype=torch.float64, device=device)
        self.squares = torch.zeros(samples, dtype=torch.float64, device=device)
        self.projected: torch.Tensor | None = None
        if features.projection is not None:
            self.projected = torch.zeros(samples, features.projection.dimension, device=device)

    def feature(self, parameter: int, chunk: slice, gradients: torch.Tensor) -> torch.Tensor:
        if self._moments is None:
            return gradients
        if chunk.start == 0:
            # Once a batch, because ranks that put their parts together may have other numbers of chunks.
            self._present = self._moments(parameter)
        return adam_step(gradients, self._present, self._features.adam_eps_mode)

    def __call__(self, parameter: int, chunk: slice, gradients: torch.Tensor) -> None:
        self.add(parameter, chunk, self.feature(parameter, chunk, gradients))

    def add(self, parameter: int, chunk: slice, feature: torch.Tensor) -> None:
        if self.projected is not None:
            assert self._features.projection is not None
            self.projected[chunk] += self._features.projection.apply(parameter, feature)
            return
        with full_precision():
            self.products[chunk] += (feature @ self._targets.directions[parameter].T).double()
        self.squares[chunk] += torch.linalg.vector_norm(feature, dim=1).double().square()

    def alignments(self) -> torch.Tensor:
        """Return unit features times targets, shape ``(samples, groups)``; NaN where not finite."""
        products, squares = self.products, self.squares
        if self.projected is not None:
            with full_precision():
                products = (self.projected @ self._targets.directions[0].T).double()
            squares = self.projected.double().square().sum(1)
        scores = products / squares.sqrt().clamp(min=TINY).unsqueeze(1)
        return torch.where(torch.isfinite(squares).unsqueeze(1), scores, torch.nan)


class _GroupReduction(_Reduction):
    """The gradient features of a whole group, batch after batch.

    They are held together, because their unit mean can be taken only when all norms are known.
    """

    def __init__(self, *args: Any, elements: list[int]) -> None:
        super().__init__(*args)
        device, samples = self.squares.device, len(self.squares)
        self._held = [torch.zeros(samples, width, device=device) for width in elements]
        self.first = 0
        """Place of the present batch's first sample in the group."""

    def __call__(self, parameter: int, chunk: slice, gradients: torch.Tensor) -> None:
        mine = slice(self.first + chunk.start, self.first + chunk.stop)
        feature = self.feature(parameter, chunk, gradients)
        if self.projected is not None:
            self.add(parameter, mine, feature)
        else:
            self._held[parameter][mine] = feature

    def group_alignment(self, usable: torch.Tensor) -> torch.Tensor:
        """Return the products of the normalised mean unit feature with the targets, shape ``(groups,)``."""
        features = self._held if self.projected is None else [self.projected]
        squares = torch.stack([part.double().square().sum(1) for part in features]).sum(0)
        usable = usable.to(squares.device) & torch.isfinite(squares)
        if not usable.any():
            return torch.full_like(self.products[0], torch.nan)
        scale = 1 / squares[usable].sqrt().clamp(min=TINY)
        product = torch.zeros_like(self.products[0])
        length = torch.zeros((), dtype=torch.float64, device=product.device)
        with full_precision():
            for part, direction in zip(features, self._targets.directions, strict=True):
                mean = (part[usable] * scale.unsqueeze(1).float()).mean(0)
                product += (direction @ mean).double()
                length += mean.double().square().sum()
        return product / length.sqrt().clamp(min=TINY)


def alignment(
    model: nn.Module,
    rows: Rows,
    chosen: IntArray,
    targets: Targets,
    features: GradientFeatures,
    moments: MomentsOf | None,
    batch_tokens: int,
    store: GradientStore | None = None,
) -> FloatArray:
    """Return the inner product of each chosen row's unit gradient feature with each target.

    Args:
        model: in evaluation mode.
        rows: the pool.
        chosen: numbers of the rows to measure.
        targets: of the same features.
        features: see ``GradientFeatures``.
        moments: the optimizer's, for Adam's features; else None.
        batch_tokens: padded tokens of a batch at the most.
        store: receives the projected unit features, when they are to be kept.

    Returns:
        Shape ``(len(chosen), groups)``, equal on all ranks; NaN where a row has no supervised token or its
        gradient is not finite, 0 where it vanishes.
    """
    engine = SampleGradients(model)
    batches = token_batches(rows.lengths[chosen], batch_tokens)
    scores = torch.zeros(len(chosen), len(targets.counts), dtype=torch.float64)
    seen = torch.zeros(len(chosen), dtype=torch.int64)
    for places, counts in my_batches(batches, "Measuring the pool's gradients"):
        batch_rows = chosen[places]
        batch = rows.batch(batch_rows.tolist())
        found, projected = batch_alignments(engine, model, batch, targets, features, moments)
        if not counts:
            continue
        found = found.cpu()
        found[torch.from_numpy(rows.supervised[batch_rows] == 0)] = torch.nan
        scores[places] = found
        seen[places] += 1
        if store is not None:
            assert projected is not None
            store.write(batch_rows, projected)
    refuse_gaps(sum_over_ranks(seen))
    return sum_over_ranks(scores).numpy()


def batch_alignments(
    engine: SampleGradients,
    model: nn.Module,
    batch: Batch,
    targets: Targets,
    features: GradientFeatures,
    moments: MomentsOf | None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return what ``alignment`` does for the rows of one batch, and their projected features, if any.

    Args:
        engine: of the model.
        model: see ``alignment``.
        batch: taken apart.
        targets: see ``alignment``.
        features: see ``alignment``.
        moments: see ``alignment``.
    """
    samples, positions = batch["labels"].shape
    reduction = _Reduction(samples, targets, features, moments)
    engine.run(partial(sum_of_mean_losses, model, batch), (samples, positions), samples, reduction)
    return reduction.alignments(), reduction.projected


def group_alignment(
    model: nn.Module,
    rows: Rows,
    groups: Sequence[IntArray],
    targets: Targets,
    features: GradientFeatures,
    moments: MomentsOf | None,
    batch_tokens: int,
) -> FloatArray:
    """Return the inner product of each group's normalised mean unit feature with each target.

    Args:
        model: in evaluation mode.
        rows: the pool.
        groups: numbers of the rows of each group.
        targets: see ``alignment``.
        features: see ``alignment``.
        moments: see ``alignment``.
        batch_tokens: see ``alignment``; the features of a whole group are held besides.

    Returns:
        Shape ``(len(groups), target groups)``, equal on all ranks; NaN for a group without a usable row.
    """
    engine = SampleGradients(model)
    exact = features.projection is None
    elements = engine.elements if exact else []
    scores = torch.zeros(len(groups), len(targets.counts), dtype=torch.float64)
    batches = [token_batches(rows.lengths[members], batch_tokens) for members in groups]
    turns = my_batches(range(len(groups)), "Measuring the clusters' gradients")
    for turn, (number, counts) in enumerate(turns):
        members, own = groups[number], batches[number]
        reduction = _GroupReduction(len(members), targets, features, moments, elements=elements)
        # A rank whose group has fewer batches than others repeats its last one, into a place of its own.
        for part in range(max(map(len, round_of(batches, turn)))):
            places = own[min(part, len(own) - 1)]
            batch = rows.batch(members[places].tolist())
            shape = tuple(batch["labels"].shape)
            reduction.first = sum(map(len, own[:part]))
            consume = reduction if part < len(own) else _Reduction(len(places), targets, features, moments)
            engine.run(partial(sum_of_mean_losses, model, batch), shape, len(places), consume)
        order = [place for places in own for place in places]
        if counts:
            usable = torch.from_numpy(rows.supervised[members[order]] > 0)
            scores[number] = reduction.group_alignment(usable).cpu()
    return sum_over_ranks(scores).numpy()
