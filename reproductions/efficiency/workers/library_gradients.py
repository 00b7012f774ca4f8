"""LESS and Loss with this library, beside plain passes over the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from dataflex.signals.adam import read_moments
from dataflex.signals.alignment import alignment
from dataflex.signals.features import GradientFeatures
from dataflex.signals.gradients import trainable
from dataflex.signals.losses import pool_losses
from dataflex.signals.passes import Rows
from dataflex.signals.projection import Projection
from dataflex.signals.targets import validation_targets
from dataflex.signals.untouched import untouched
from efficiency.batches import Row
from efficiency.measure import Job, Variant, device, serve
from efficiency.workload import (
    PLAIN,
    Workload,
    load,
    plain_backward,
    plain_by_length,
    plain_forward,
    plain_in_order,
)


def variants(job: Job) -> dict[str, Variant]:
    """Return one variant a method and share of the pool, named ``<what>@<share>``."""
    options = job.options
    work = load(job.workload, device(), options.get("checkpointing", False))
    size = work.about["batch"]
    projections = {
        "exact": None,
        "projected": Projection("sparse", options["projection"], seed=0),
    }
    made: dict[str, Variant] = {}
    for share in options["shares"]:
        pool = work.pool[: max(1, round(share * len(work.pool)))]
        both = [*work.validation, *pool]
        made[f"{PLAIN}@{share}"] = partial(plain_by_length, work, pool)
        made[f"plain@{share}"] = partial(plain_in_order, work, both, size)
        made[f"plain one by one@{share}"] = partial(plain_in_order, work, both, 1)
        for name, projection in projections.items():
            features = GradientFeatures("adam", projection=projection)
            made[f"{name}@{share}"] = partial(less, work, pool, features)
        made[f"plain forward@{share}"] = partial(plain_forward, work, pool, size)
        made[f"losses@{share}"] = partial(losses, work, pool)
    if not job.memory:
        # The first pass of a process is slow for reasons of its own.
        plain_backward(work, [work.pool[:size]])
    return made


def rows_of(work: Workload, rows: Sequence[Row]) -> Rows:
    """Return rows as the library takes them."""
    lengths = np.array([len(row["input_ids"]) for row in rows])
    supervised = np.array([sum(label >= 0 for label in row["labels"][1:]) for row in rows])
    return Rows(lengths, supervised, lambda numbers: dict(work.batch([rows[n] for n in numbers])))


def less(work: Workload, pool: Sequence[Row], features: GradientFeatures) -> dict[str, Any]:
    """Score the pool as a selection by LESS does: validation rows, moments, pool."""
    targets_from, scored = rows_of(work, work.validation), rows_of(work, pool)
    groups = np.zeros(len(work.validation), np.int64)
    with untouched(work.model, backward=True):
        moments = read_moments(work.optimizer, trainable(work.model))
        targets = validation_targets(work.model, targets_from, groups, features, work.budget)
        chosen = np.arange(len(pool))
        scores = alignment(work.model, scored, chosen, targets, features, moments, work.budget)
    return {"scores": scores[:, 0].tolist()}


def losses(work: Workload, pool: Sequence[Row]) -> dict[str, Any]:
    """Measure the pool's losses as a selection by loss does."""
    with untouched(work.model), torch.no_grad():
        found = pool_losses(work.model, rows_of(work, pool), work.budget)
    return {"scores": found.tolist()}


if __name__ == "__main__":
    serve(variants)
