"""``dataflex-cli cite``: what to write under a number from the store."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from dataflex.citing import bibtex
from dataflex.evidence.statistics import seeds
from dataflex.evidence.store.find import STORE, Entry, find
from dataflex.evidence.store.find import entries as all_entries
from dataflex.evidence.store.identity import short

Words = Annotated[
    str, typer.Argument(metavar="RESULT", help="The beginning of an id, or rung/experiment/cell.")
]


def cite(
    result: Words,
    metric: Annotated[
        str | None, typer.Option(help="The number that is cited; else the first of the result's.")
    ] = None,
) -> None:
    """Print one line that says what a number rests on, and BibTeX of all to whom credit is due.

    These are the suite, the paper that it reproduces, and the papers of the methods that took part.
    """
    found = find(result)
    print(statement(found, metric))
    print()
    print("\n\n".join(entries(found)))


def crate(
    store: Annotated[Path, typer.Argument(metavar="[STORE]", help="The store of results.")] = STORE,
) -> None:
    """Write the store's metadata as an RO-Crate: STORE/ro-crate-metadata.json, for archives and search."""
    from dataflex.citing.crate import NAME, metadata
    from dataflex.evidence.files import write_text

    found = list(all_entries(store))
    write_text(store / NAME, metadata(found))
    print(f"{store / NAME}: {len(found)} results")


def statement(found: list[Entry], metric: str | None = None) -> str:
    """One line: number, interval, seeds, version, commit, ids of the results and their common hash.

    Raises:
        UserError: the results do not have the number.
    """
    from dataflex.errors import UserError

    numbers = [entry.result.numbers() for entry in found]
    name = metric or next(iter(numbers[0]))
    for entry, own in zip(found, numbers, strict=True):
        if name not in own:
            raise UserError(f"{entry.name} has no {name}: it has {', '.join(own)}")
    estimate = seeds.of_mean([own[name] for own in numbers])
    interval = estimate.interval()
    told = f"{estimate.value:.4f}"
    if interval is not None:
        told += f" (95 % interval {interval[0]:.4f} to {interval[1]:.4f} over {len(found)} seeds)"
    else:
        told += f" (seed {found[0].result.seed}: no interval over seeds)"
    ids = ", ".join(short(entry.id) for entry in found)
    common = hashlib.sha256("".join(sorted(entry.id for entry in found)).encode()).hexdigest()
    where = f"{found[0].rung}/{found[0].result.folder.parent.name}/" + ".".join(found[0].result.key[1:])
    version = found[0].result.run["manifest"]["versions"].get("dataflex", "of an unknown version")
    commits = (
        ", ".join(commit[:12] + "-dirty" * commit.endswith("-dirty") for commit in _commits(found))
        or "unknown"
    )
    rests = f"commit {commits}; results {ids}; sha256 {common}"
    return f"{name} of {where}: {told}; DataFlex suite {version}, {rests}."


def entries(found: list[Entry]) -> list[str]:
    """BibTeX entries: the suite, the paper, and the methods' papers, each once."""
    names = [bibtex.DATAFLEX]
    for entry in found:
        for decision in entry.result.run["manifest"]["decisions"].values():
            paper = _paper(str(decision["component"]))
            known = bibtex.identifier(paper) if paper else None
            if known and known not in names:
                names.append(known)
    note = f"results {', '.join(short(entry.id) for entry in found)} in {STORE}/"
    return [bibtex.suite(_commits(found), note), *map(bibtex.paper, names)]


def _paper(component: str) -> str | None:
    """What a registered component says of its paper."""
    from dataflex.registry import components

    for found in components().values():
        if component in found:
            return getattr(found[component], "paper", None)
    return None


def _commits(found: list[Entry]) -> list[str]:
    commits = (entry.result.run["manifest"].get("commit") for entry in found)
    return sorted({str(commit) for commit in commits if commit})
