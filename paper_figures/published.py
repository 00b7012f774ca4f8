"""The paper's numbers in the tables: those of one of its tables by place, and its timings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from dataflex.evidence.claims.published import read

FILE = Path(__file__).resolve().parent.parent / "reproductions/reference/published.csv"
ORIGINAL, THEIRS = "LESS (original)", "DataFlex"
SECONDS, NO_MODEL = "Time (s)", "NOT STATED"
Place = tuple[str, str, str, str]
"""Model, scale, method and metric, as the paper calls them."""


@cache
def published(table: str) -> Mapping[Place, float]:
    """Values of one of the paper's tables by place; none of a table that isn't there."""
    return {place[1:]: one.value for place, one in read(FILE).items() if place[0] == table}


def less(share: float, method: str, metric: str) -> float | None:
    """A number of LESS at one sample ratio; the paper does not say of which model."""
    return published("efficiency_less").get((NO_MODEL, f"sample ratio {share:.2f}", method, metric))


def own_less(gpus: int) -> str:
    """What the paper calls its own LESS on so many GPUs."""
    return THEIRS if gpus == 1 else f"{THEIRS} ({gpus}-GPU)"


def less_seconds(share: float, gpus: int) -> tuple[float | None, float | None]:
    """Return the original's seconds on one GPU, and the paper's own on as many as asked for."""
    return less(share, ORIGINAL, SECONDS), less(share, own_less(gpus), SECONDS)


def less_cases() -> list[tuple[float, int]]:
    """Sample ratios and numbers of GPUs that the paper timed its own LESS with, in its order."""
    found = []
    for _, scale, method, metric in published("efficiency_less"):
        if method.startswith(THEIRS) and metric == SECONDS:
            gpus = 1 if method == THEIRS else int(method.partition("(")[2].partition("-")[0])
            found.append((float(scale.rpartition(" ")[2]), gpus))
    return found


def tsds_reduction() -> tuple[float, float]:
    """Return the least and the largest reduction of TSDS's time, in percent, over all sizes."""
    found = {place[-1]: value for place, value in published("efficiency_tsds").items()}
    return found["Runtime reduction (%), least"], found["Runtime reduction (%), most"]
