"""LESS with the code of its authors, unmodified; runs on a GPU, in upstream's environment.

Their script reads a model and a checkpoint of its own; here their function takes those that all sides have.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader

from efficiency.measure import Job, Variant, device, serve
from efficiency.processes import shared_folder
from efficiency.workers.projectors import projectors
from efficiency.workload import PLAIN, Workload, collate, load, plain_backward, plain_by_length


def variants(job: Job) -> dict[str, Variant]:
    """Return the authors' scoring for each share of the pool, named ``authors@<share>``."""
    if device().type != "cuda":
        raise SystemExit("the authors' code of LESS runs on a GPU only")
    work = load(job.workload, device())
    made: dict[str, Variant] = {}
    for share in job.options["shares"]:
        pool = work.pool[: max(1, round(share * len(work.pool)))]
        made[f"{PLAIN}@{share}"] = partial(plain_by_length, work, pool)
        made[f"authors@{share}"] = partial(less, work, pool, job.options["projection"])
    if not job.memory:
        plain_backward(work, [work.pool[: work.about["batch"]]])
    return made


def less(work: Workload, pool: Any, dimension: int) -> dict[str, Any]:
    """Collect gradients of the pool and of the validation rows and multiply them, as their two scripts do."""
    from less.data_selection.collect_grad_reps import collect_grads

    folder = shared_folder()
    named = {name: parameter for name, parameter in work.model.named_parameters() if parameter.requires_grad}
    moments = {name: work.optimizer.state[parameter] for name, parameter in named.items()}
    found = []
    used: set[str] = set()
    passes: Any = (("adam", pool, moments), ("sgd", work.validation, None))
    for kind, rows, state in passes:
        loader = DataLoader(rows, batch_size=1, collate_fn=collate)
        where = folder / kind
        with projectors() as made:
            collect_grads(
                loader, work.model, str(where), [dimension], adam_optimizer_state=state, gradient_type=kind
            )
        used |= made
        file = where / f"dim{dimension}" / "all_orig.pt"
        found.append(torch.load(file, map_location=work.device, weights_only=True).float())
    scores = (found[0] @ found[1].T).mean(1)
    return {"scores": scores.tolist(), "projector": ", ".join(sorted(used))}


if __name__ == "__main__":
    serve(variants)
