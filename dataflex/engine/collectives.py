"""The few collective operations of the engine; on one process they return their input.

Everything that decides about data goes through here, so that every rank decides from the same numbers.
"""

from __future__ import annotations

import torch
import torch.distributed as dist


def world() -> tuple[int, int]:
    """Return this process's rank and the number of processes."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def sum_over_ranks(values: torch.Tensor) -> torch.Tensor:
    """Return the element-wise sum over all ranks; the input is not changed."""
    total = values.clone()
    if world()[1] > 1:
        dist.all_reduce(total)
    return total


def concatenate_ranks(values: torch.Tensor) -> torch.Tensor:
    """Return the ranks' equally shaped tensors, concatenated along the first axis in rank order."""
    size = world()[1]
    if size == 1:
        return values
    parts = [torch.empty_like(values) for _ in range(size)]
    dist.all_gather(parts, values.contiguous())
    return torch.cat(parts)


def from_first_rank(values: torch.Tensor) -> torch.Tensor:
    """Return rank 0's values on every rank; shapes and types must agree."""
    if world()[1] == 1:
        return values
    copy = values.clone()
    dist.broadcast(copy, src=0)
    return copy
