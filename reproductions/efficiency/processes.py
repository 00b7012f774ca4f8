"""Several processes of one worker, started by torchrun. Needs torch alone: other environments use it too."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")


@contextmanager
def process_group() -> Iterator[bool]:
    """Join the other processes, each on a GPU of its own; tells whether this is the first."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield True
        return
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if gpu else "gloo")
    try:
        yield dist.get_rank() == 0
    finally:
        dist.destroy_process_group()


def together() -> bool:
    """Tell whether there are other processes."""
    return dist.is_available() and dist.is_initialized()


def mine(rows: Sequence[T]) -> Sequence[T]:
    """Return this process's part of some rows."""
    return rows[dist.get_rank() :: dist.get_world_size()] if together() else rows


def shared_folder() -> Path:
    """Return an empty folder that every process of this worker sees; one at a time."""
    folder = Path("shared").absolute()
    if together():
        dist.barrier()
    if not together() or dist.get_rank() == 0:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    if together():
        dist.barrier()
    return folder


def launched(python: str, processes: int) -> list[str]:
    """Return the words that start a module in one process or in several."""
    if processes == 1:
        return [python]
    return [python, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
