"""The paper's numbers, as far as they are known: ``reproductions/reference/paper.csv``."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path

FILE = Path(__file__).resolve().parent.parent / "reproductions/reference/paper.csv"
ORIGINAL, THEIRS = "LESS (original)", "DataFlex"


@cache
def published(table: str) -> Mapping[tuple[str, str, str], float]:
    """Values of one of the paper's tables by scale, method and metric; none of a table that isn't there."""
    with FILE.open(newline="") as stream:
        return {
            (row["scale"], row["method"], row["metric"]): float(row["value"])
            for row in csv.DictReader(stream)
            if row["table"] == table
        }


def less_seconds(share: float, gpus: int) -> tuple[float | None, float | None]:
    """Return the original's seconds on one GPU, and the paper's own on as many as asked for."""
    rows, scale = published("efficiency_less"), f"sample ratio {share:.2f}"
    own = THEIRS if gpus == 1 else f"{THEIRS} ({gpus}-GPU)"
    return rows.get((scale, ORIGINAL, "Time (s)")), rows.get((scale, own, "Time (s)"))


def less_cases() -> list[tuple[float, int]]:
    """Sample ratios and numbers of GPUs that the paper timed its own LESS with, in its order."""
    found = []
    for scale, method, metric in published("efficiency_less"):
        if method.startswith(THEIRS) and metric == "Time (s)":
            gpus = 1 if method == THEIRS else int(method.partition("(")[2].partition("-")[0])
            found.append((float(scale.rpartition(" ")[2]), gpus))
    return found


def tsds_reduction() -> tuple[float, float]:
    """Return the least and the largest reduction of TSDS's time, in percent, over all sizes."""
    found = {metric: value for (_, _, metric), value in published("efficiency_tsds").items()}
    return found["Runtime reduction (%), least"], found["Runtime reduction (%), most"]
