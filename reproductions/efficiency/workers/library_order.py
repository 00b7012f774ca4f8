"""The library's order of rows at random places of a run."""

from __future__ import annotations

import itertools
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from dataflex.engine.order import Order
from efficiency.measure import Job, Variant, serve

PLACES = 300


def variants(job: Job) -> dict[str, Variant]:
    """Return the draw of a step at random places, and the same from a checkpoint's state."""
    rows, domains, batch = (job.options[key] for key in ("rows", "domains", "batch"))
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(domains))
    ends = [0, *np.cumsum((shares * rows).astype(np.int64)).tolist()]
    strata = [range(start, end) for start, end in itertools.pairwise(ends)]
    order = Order(seed=1)
    order.begin(0, rows, shares, strata)
    state = json.dumps(order.state_dict())
    places = (rng.integers(rows // batch, size=PLACES) * batch).tolist()

    def seek(place: int) -> None:
        fresh = Order(seed=1)
        fresh.load_state_dict(json.loads(state), strata)
        fresh.rows(place, batch)

    return {
        "step": partial(timed, lambda place: order.rows(place, batch), places),
        "seek": partial(timed, seek, places),
    }


def timed(draw: Callable[[int], Any], places: list[int]) -> dict[str, Any]:
    """Return the microseconds of a draw: median, and the slowest of a hundred."""
    found = []
    for place in places:
        began = time.perf_counter()
        draw(place)
        found.append(1e6 * (time.perf_counter() - began))
    return {
        "median_microseconds": statistics.median(found),
        "p99_microseconds": float(np.quantile(found, 0.99)),
    }


if __name__ == "__main__":
    serve(variants)
