"""Reading, building and using a corpus with this library."""

from __future__ import annotations

import resource
import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dataflex.corpus.packed.build import build
from dataflex.corpus.packed.rows import PackedRows, TokenStream, domains_of
from dataflex.corpus.packed.sources import find_sources
from dataflex.corpus.packed.subset import subset
from dataflex.corpus.packed.units import cut_units
from efficiency.measure import Job, Variant, serve

ROW = 2048
DRAWS = 20_000


def variants(job: Job) -> dict[str, Variant]:
    """Return reading alone, the build, a subset of what was built, and rows of it at random places."""
    options = job.options
    text, built = Path(options["text"]), Path(options["built"])
    return {
        "reading": partial(reading, text),
        "build": partial(building, text, built, options),
        "subset": partial(taking, built, options),
        "rows": partial(drawing, built),
    }


def reading(text: Path) -> dict[str, Any]:
    """Read and parse all documents in this process: what a build can't be faster than."""
    units = cut_units(find_sources([str(text)]))
    return {"documents": sum(1 for unit in units for _ in unit.documents())}


def building(text: Path, built: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Build the corpus; peak memory is that of the largest process below this one."""
    shutil.rmtree(built, ignore_errors=True)
    card = build(
        [str(text)], built, tokenizer=options["tokenizer"], processes=int(options["workers"]), quiet=True
    )
    rows = [row for split in card["statistics"].values() for row in split.values()]
    return {
        **{key: sum(row[key] for row in rows) for key in ("documents", "bytes", "tokens")},
        "worker_peak_mib": _mebi(resource.RUSAGE_CHILDREN),
        "parent_peak_mib": _mebi(resource.RUSAGE_SELF),
    }


def _mebi(who: int) -> float:
    return resource.getrusage(who).ru_maxrss / 1024


def taking(built: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Take a random subset."""
    part = built.with_name("part")
    shutil.rmtree(part, ignore_errors=True)
    whole = sum(len(TokenStream(built, domain)) for domain in domains_of(built))
    tokens = int(float(options["budget"]) * whole)
    card = subset(built, part, tokens=tokens, processes=int(options["workers"]), quiet=True)
    taken = sum(row["tokens"] for row in card["statistics"]["train"].values())
    shutil.rmtree(part)
    return {"tokens": taken, "asked": tokens}


def drawing(built: Path) -> dict[str, Any]:
    """Open all domains and read rows at random places."""
    began = time.perf_counter()
    rows = PackedRows([TokenStream(built, domain) for domain in domains_of(built)], ROW)
    opened = time.perf_counter() - began
    chosen = np.random.default_rng(0).integers(len(rows), size=DRAWS).tolist()
    began = time.perf_counter()
    for row in chosen:
        rows.tokens(row).astype(np.int64)
    seconds = time.perf_counter() - began
    return {"open_seconds": opened, "row_microseconds": 1e6 * seconds / DRAWS, "rows": len(rows)}


if __name__ == "__main__":
    serve(variants)
