"""Where the page comes from: versions, commits, the hash of all results. No dates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

from dataflex.report.rungs import Rung, store_hash

LEADING = ("dataflex", "llamafactory", "transformers", "torch", "python")
"""Packages that are named in this order; all others stand in the manifests."""


@dataclass(frozen=True)
class Provenance:
    """What a reader needs to find the same results again.

    Attributes:
        builder: version of dataflex that wrote the page.
        versions: of the packages that made the results; several where runs differ.
        commits: that the runs were made from, with the number of runs; most runs first.
        store: hash of all results.
        results: their number.
        rungs: their names.
    """

    builder: str
    versions: tuple[tuple[str, str], ...]
    commits: tuple[tuple[str, int], ...]
    store: str
    results: int
    rungs: tuple[str, ...]


def provenance(rungs: Sequence[Rung]) -> Provenance:
    """What the manifests of all results say together."""
    manifests = [result.run.get("manifest", {}) for rung in rungs for result in rung.results]
    told = [manifest.get("versions") or {} for manifest in manifests]
    used = {name: sorted({str(one[name]) for one in told if name in one}) for name in LEADING}
    commits = Counter(str(manifest["commit"]) for manifest in manifests if manifest.get("commit"))
    return Provenance(
        builder=version("dataflex"),
        versions=tuple((name, ", ".join(found)) for name, found in used.items() if found),
        commits=tuple(sorted(commits.items(), key=lambda entry: (-entry[1], entry[0]))),
        store=store_hash(rungs),
        results=sum(len(rung.results) for rung in rungs),
        rungs=tuple(rung.name for rung in rungs),
    )
