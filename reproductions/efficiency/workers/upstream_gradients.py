"""LESS and Loss with upstream's dataflex, unmodified but for a clock; runs in upstream's environment."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator

from efficiency.batches import Row
from efficiency.measure import Job, Variant, device, serve, synchronise
from efficiency.processes import shared_folder, together
from efficiency.workers.projectors import projectors
from efficiency.workload import (
    PLAIN,
    Workload,
    collate,
    load,
    plain_backward,
    plain_by_length,
    plain_forward,
    plain_in_order,
)


class Clock:
    """Adds up the seconds of upstream's projections, or spares them."""

    def __init__(self) -> None:
        from trak.projectors import BasicProjector, CudaProjector

        self.seconds: list[float] = []
        self.spare = False
        kinds: tuple[Any, ...] = (BasicProjector, CudaProjector)
        for kind in kinds:
            kind.project = self._clocked(kind.project)

    def _clocked(self, original: Any) -> Any:
        def project(projector: Any, gradients: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
            if self.spare:
                return torch.zeros(len(gradients), projector.proj_dim, dtype=gradients.dtype)
            if together():
                # Waiting for the others within a projection would change what is measured.
                return original(projector, gradients, *args, **kwargs)
            synchronise()
            began = time.perf_counter()
            found = original(projector, gradients, *args, **kwargs)
            synchronise()
            self.seconds.append(time.perf_counter() - began)
            return found

        return project


def variants(job: Job) -> dict[str, Variant]:
    """Return one variant a method and share of the pool, named ``<what>@<share>``."""
    work = load(job.workload, device(), job.options.get("checkpointing", False))
    size, clock, accelerator = work.about["batch"], Clock(), Accelerator(cpu=device().type == "cpu")
    made: dict[str, Variant] = {}
    for share in job.options["shares"]:
        pool = work.pool[: max(1, round(share * len(work.pool)))]
        both = [*work.validation, *pool]
        made[f"{PLAIN}@{share}"] = partial(plain_by_length, work, pool)
        made[f"plain@{share}"] = partial(plain_in_order, work, both, size)
        made[f"plain forward@{share}"] = partial(plain_forward, work, pool, size)
        for name, dtype in (("upstream", None), ("upstream, fp32", torch.float32)):
            made[f"{name}@{share}"] = partial(less, work, pool, accelerator, job, clock, dtype)
        made[f"upstream, gradients@{share}"] = partial(
            less, work, pool, accelerator, job, clock, torch.float32, spare=True
        )
        for batch in (1, size):
            for workers in (0, 2):
                name = f"upstream loss, batch {batch}, {workers} workers@{share}"
                made[name] = partial(losses, work, pool, accelerator, batch, workers)
    if not job.memory:
        plain_backward(work, [work.pool[:size]])
    return made


def collator(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Batch rows; row numbers, which upstream adds to them, go along."""
    batch: dict[str, Any] = dict(collate(rows))
    if "idx" in rows[0]:
        batch["idx"] = torch.tensor([row["idx"] for row in rows])
    return batch


def less(
    work: Workload,
    pool: Sequence[Row],
    accelerator: Accelerator,
    job: Job,
    clock: Clock,
    dtype: torch.dtype | None,
    spare: bool = False,
) -> dict[str, Any]:
    """Run upstream's selection. ``dtype``: of its buffers and projection instead of fp16."""
    from dataflex.train.selector.less_selector import LessSelector

    clock.seconds, clock.spare = [], spare
    cache = shared_folder()
    selector = LessSelector(
        dataset=pool,
        eval_dataset=work.validation,
        accelerator=accelerator,
        data_collator=collator,
        cache_dir=str(cache),
        gradient_type="adam",
        proj_dim=job.options["projection"],
        seed=0,
    )
    if dtype is not None:
        selector.dtype = dtype
    with projectors() as made:
        chosen = selector.select(work.model, 1, len(pool), optimizer_state=work.optimizer.state)
    saved = json.loads((cache / "step_1.json").read_text())
    metric = saved.get("metric", {}).get("train_eval_similarity")
    scores = None
    if metric is not None and not spare:
        ranked = sorted(zip(chosen, metric, strict=True))
        scores = [score for _, score in ranked]
    return {"projection_seconds": clock.seconds, "projector": ", ".join(sorted(made)), "scores": scores}


def losses(
    work: Workload, pool: Sequence[Row], accelerator: Accelerator, batch: int, workers: int
) -> dict[str, Any]:
    """Run upstream's scoring pass."""
    from dataflex.train.selector.loss_selector import LossSelector

    with tempfile.TemporaryDirectory() as cache:
        selector = LossSelector(
            dataset=pool,
            accelerator=accelerator,
            data_collator=collator,
            cache_dir=cache,
            score_batch_size=batch,
            score_num_workers=workers,
        )
        found = selector._compute_losses(range(len(pool)), work.model, 1)
    return {"scores": [float(loss) for loss in found]}


if __name__ == "__main__":
    serve(variants)
