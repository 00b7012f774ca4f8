"""The most bytes that tensors hold at a time, as PyTorch's allocator tells its profiler."""

from __future__ import annotations

import gc
from collections.abc import Callable

import torch
from torch._C._profiler import _EventType


def peak_allocated(run: Callable[[], object]) -> int:
    """Return the peak of the bytes that are allocated, or mapped from a file, while a function runs."""
    # What earlier runs left would be freed meanwhile.
    gc.collect()
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profiler:
        run()
    events = list(profiler.profiler.kineto_results.experimental_event_tree())
    sizes = []
    while events:
        event = events.pop()
        events += event.children
        if event.tag == _EventType.Allocation:
            sizes.append((event.start_time_ns, event.extra_fields.alloc_size))
    now = peak = 0
    for _, size in sorted(sizes):
        now += size
        peak = max(peak, now)
    return peak
