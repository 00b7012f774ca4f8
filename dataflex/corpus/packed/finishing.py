"""All units of a build done, whatever was done of them before, with a bar that shows how far it is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from dataflex.corpus.packed import workers
from dataflex.corpus.packed.shards import WORK, read_records


def finish_units(
    folder: Path,
    units: Mapping[int, tuple[Any, int]],
    job: Callable[[Any], dict[str, Any]],
    what: str,
    processes: int | None,
    quiet: bool,
) -> list[dict[str, Any]]:
    """Do the units that have no record yet; return the records of all, in their order.

    Args:
        folder: of the corpus.
        units: what the job takes, and its weight in bytes, by number.
        job: writes a unit's shards and returns its record.
        what: shown beside the bar.
        processes: None takes one a processor.
        quiet: no progress bar.
    """
    shutil.rmtree(folder / WORK, ignore_errors=True)
    done = read_records(folder)
    left = {number: item for number, (item, _) in units.items() if number not in done}
    count = min(processes or os.cpu_count() or 1, max(1, len(left)))
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=quiet) as progress:
        task = progress.add_task(what, total=sum(weight for _, weight in units.values()))
        progress.advance(task, sum(units[number][1] for number in done))
        for number, record in workers.run(job, left, count) if left else ():
            done[number] = record
            progress.advance(task, units[number][1])
    shutil.rmtree(folder / WORK, ignore_errors=True)
    return [done[number] for number in sorted(units)]
