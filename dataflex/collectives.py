"""The few collective operations of the engine; on one process they return their input.

Everything that decides about data goes through here, so that every rank decides from the same numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist

from dataflex.arrays import FloatArray
from dataflex.errors import LoneError, UserError

T = TypeVar("T")

_MEETING = 10.0
"""Seconds that a rank with a mistake waits for the others, to tell it where they listen."""


def world() -> tuple[int, int]:
    """Return this process's rank and the number of processes."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def wait_for_ranks() -> None:
    """Return when every rank has come here."""
    if world()[1] > 1:
        dist.barrier()


def leave_ranks() -> None:
    """End the process group, if there is one: this process comes to no other any more."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def store() -> Any:
    """Return the store of the process group, which works beside collective operations."""
    return dist.distributed_c10d._get_default_store()


def _on_the_wire(values: torch.Tensor) -> torch.Tensor:
    """Return a copy where the process group can send it from: NCCL knows GPUs only."""
    return values.cuda() if dist.get_backend() == "nccl" and not values.is_cuda else values.clone()


def sum_over_ranks(values: torch.Tensor) -> torch.Tensor:
    """Return the element-wise sum over all ranks; the input is not changed."""
    if world()[1] == 1:
        return values
    total = _on_the_wire(values)
    dist.all_reduce(total)
    return total.to(values.device)


def concatenate_ranks(values: torch.Tensor) -> torch.Tensor:
    """Return the ranks' equally shaped tensors, concatenated along the first axis in rank order."""
    size = world()[1]
    if size == 1:
        return values
    mine = _on_the_wire(values.contiguous())
    parts = [torch.empty_like(mine) for _ in range(size)]
    dist.all_gather(parts, mine)
    return torch.cat(parts).to(values.device)


def from_first_rank(values: torch.Tensor) -> torch.Tensor:
    """Return rank 0's values on every rank; shapes and types must agree."""
    if world()[1] == 1:
        return values
    theirs = _on_the_wire(values)
    dist.broadcast(theirs, src=0)
    return theirs.to(values.device)


def agreed(action: Callable[[], T]) -> T:
    """Run an action on every rank; a mistake that one of them finds ends all of them with its message.

    The others hear of it when their own action is over. When that takes long, or waits in a collective
    operation for the rank with the mistake, the error is raised on that rank alone, and
    ``failures.ending_together`` ends the others.

    Raises:
        UserError: the action raised it on some rank; the lowest one's.
        LoneError: the action raised a ``UserError`` here, and other ranks are still in theirs.
    """
    if world()[1] == 1:
        return action()
    result, message = None, b""
    try:
        result = action()
    except UserError as error:
        if not _all_arrive():
            raise LoneError(str(error)) from error
        message = str(error).encode()
    else:
        _arrive()
    sizes = concatenate_ranks(torch.tensor([len(message)]))
    if sizes.any():
        padded = torch.zeros(int(sizes.max()), dtype=torch.uint8)
        padded[: len(message)] = torch.frombuffer(bytearray(message), dtype=torch.uint8) if message else 0
        every = concatenate_ranks(padded.unsqueeze(0))
        first = int(sizes.nonzero()[0])
        raise UserError(bytes(every[first, : int(sizes[first])].tolist()).decode())
    return result  # type: ignore[return-value]


def _arrive() -> int:
    """Note that this rank's action is over; return how many of its actions are."""
    return int(store().add(f"dataflex/arrived/{dist.get_rank()}", 1))


def _all_arrive() -> bool:
    """Wait until the actions of all ranks are over; tell whether they are in time."""
    mine, shared = _arrive(), store()
    stop = time.monotonic() + _MEETING
    while any(shared.add(f"dataflex/arrived/{rank}", 0) < mine for rank in range(dist.get_world_size())):
        if time.monotonic() > stop:
            return False
        time.sleep(0.05)
    return True


def on_first_rank(function: Callable[[], FloatArray]) -> FloatArray:
    """Run a function on rank 0 alone and return its numbers on every rank.

    For what must happen once: asking a server, running code that need not repeat itself. The others wait,
    so that it has to end within the process group's timeout.

    Args:
        function: returns one dimension of any length.

    Raises:
        UserError: the function raised it; on all ranks with the same message.
        RuntimeError: on the other ranks, when the function raised anything else on rank 0.
    """
    if world()[1] == 1:
        return function()
    result, failure = np.zeros(0), None
    if world()[0] == 0:
        try:
            result = np.asarray(function(), np.float64)
        except Exception as error:  # the others must not wait for numbers that never come
            failure = error
    message = (str(failure) or type(failure).__name__).encode() if failure else b""
    status = 0 if failure is None else 1 if isinstance(failure, UserError) else 2
    # Status first, so that every rank knows what the next message holds.
    header = torch.tensor([status, len(message), len(result)])
    status, size, length = from_first_rank(header).tolist()
    if not status:
        numbers = torch.from_numpy(result.copy()) if world()[0] == 0 else torch.zeros(length).double()
        return from_first_rank(numbers).numpy()
    letters = torch.zeros(size, dtype=torch.uint8)
    if failure is not None:
        letters[:] = torch.tensor(list(message), dtype=torch.uint8)
    told = bytes(from_first_rank(letters).tolist()).decode()
    if failure is not None:
        raise failure
    raise UserError(told) if status == 1 else RuntimeError(f"rank 0 failed: {told}")
