"""What is downloaded for corpora and benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dataflex.grid import corpus_parts
from dataflex.planning.corpora import Corpus


def corpus_downloads(grid: Mapping[str, Any], corpora: Mapping[str, Corpus]) -> dict[str, int]:
    """Return what is downloaded, by corpus: of several that are made from the same data, once.

    Args:
        grid: see ``dataflex.grid.load``.
        corpora: that are used; one that is there has all that it is made from.
    """
    found: dict[str, int] = {}
    taken = {_data(grid, name) for name, corpus in corpora.items() if corpus.there}
    for name, corpus in corpora.items():
        data = _data(grid, name)
        if corpus.download_bytes and data not in taken:
            found[name] = corpus.download_bytes
            taken.add(data)
    return found


def _data(grid: Mapping[str, Any], name: str) -> frozenset[str]:
    """Names of the repositories of a corpus, without its questions', which are small; else its own name."""
    parts = corpus_parts(grid, name) if name in grid["corpora"] else {}
    return frozenset(asset.name for part, asset in parts.items() if part != "questions") or frozenset({name})


def model_of_benchmarks(grid: Mapping[str, Any]) -> str | None:
    """Return the model that the benchmarks of LESS run on, if there are any."""
    less = grid.get("efficiency", {}).get("less")
    return str(less["model"]) if less else None
