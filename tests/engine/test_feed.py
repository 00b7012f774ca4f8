"""Reading ahead: only where there is something to read ahead."""

import os
from typing import Any

import numpy as np
import pytest

from dataflex.engine.feed import ROW_IDS, Feed


class Rows:
    """Rows that tell in which process they were read."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> dict[str, int]:
        return {"value": 10 * index, "process": os.getpid()}


def collate(rows: list[dict[str, int]]) -> dict[str, Any]:
    return {key: [row[key] for row in rows] for key in rows[0]}


@pytest.mark.parametrize(("steps", "elsewhere"), [(1, False), (2, True)])
def test_workers_start_only_for_what_can_be_read_ahead(steps: int, elsewhere: bool) -> None:
    feed = Feed(Rows(), collate, 2, 2, {"num_workers": 1, "pin_memory": False, "prefetch_factor": 2})
    seen = []
    for start in range(0, 2, steps):
        feed.open(lambda step: np.arange(4) + 4 * step, start, start + steps)
        for _ in range(steps):
            batches = feed.next_step()
            seen += [row for batch in batches for row in batch[ROW_IDS].tolist()]
            assert all(batch["value"] == [10 * row for row in batch[ROW_IDS].tolist()] for batch in batches)
            processes = {process for batch in batches for process in batch["process"]}
            assert (os.getpid() not in processes) is elsewhere
    feed.close()
    assert seen == list(range(8))
