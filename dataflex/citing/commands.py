"""``dataflex-cli cite``: what to write under a number from the store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from dataflex.citing import bibtex, credit
from dataflex.evidence.claims.measure import at_chance
from dataflex.evidence.results import CellResult
from dataflex.evidence.statistics import seeds
from dataflex.evidence.store.find import STORE, Entry, find
from dataflex.evidence.store.find import entries as all_entries
from dataflex.evidence.store.identity import short

Words = Annotated[
    str, typer.Argument(metavar="RESULT", help="The beginning of an id, or rung/experiment/cell.")
]

ACCURACY, TEXT = "mmlu.acc", "bits_per_byte.all"


def cite(
    result: Words,
    metric: Annotated[
        str | None, typer.Option(help="The number that is cited; else the main one of the experiment.")
    ] = None,
) -> None:
    """Print one line that says what a number rests on, and BibTeX of all to whom credit is due.

    These are the suite, the paper that it reproduces, and the papers of the methods that took part, in the
    runs that the result rests on, too.
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
    """One line: number, interval, seeds, version, commit, ids and common hash of the results, earlier runs.

    An accuracy that cannot be told from chance is said to be such.

    Raises:
        UserError: the results do not have the number.
    """
    from dataflex.errors import UserError

    numbers = [entry.result.numbers() for entry in found]
    name = metric or main_metric(found[0].result)
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
    if name == ACCURACY and at_chance([entry.result for entry in found]):
        told += ", which cannot be told from chance"
    ids = _ids(found)
    common = hashlib.sha256("".join(sorted(entry.id for entry in found)).encode()).hexdigest()
    where = _cell(found[0])
    version = found[0].result.run["manifest"]["versions"].get("dataflex", "of an unknown version")
    commits = (
        ", ".join(commit[:12] + "-dirty" * commit.endswith("-dirty") for commit in _commits(found))
        or "unknown"
    )
    rests = f"commit {commits}; results {ids}; sha256 {common}"
    return f"{name} of {where}: {told}; DataFlex suite {version}, {rests}{_made_with(found)}."


def main_metric(result: CellResult) -> str:
    """The number that its experiment is about: of pre-training the loss on text, else the first one."""
    numbers = result.numbers()
    pretrained = result.kind == "model" and result.run["config"].get("stage") == "pt"
    return TEXT if pretrained and TEXT in numbers else next(iter(numbers))


def _made_with(found: list[Entry]) -> str:
    """The results of the runs that these rest on, and which of those runs have none in the store."""
    earlier = credit.earlier(found)
    there = [one.entry for one in earlier if one.entry and one.same]
    told = []
    for cell in dict.fromkeys(map(_cell, there)):
        told.append(f"{cell} ({_ids(entry for entry in there if _cell(entry) == cell)})")
    gone = dict.fromkeys(one.name.rpartition(".seed")[0] or one.name for one in earlier if not one.same)
    told += [f"runs of {name} that are not in the store" for name in gone]
    return f"; made with {'; '.join(told)}" if told else ""


def _cell(entry: Entry) -> str:
    return f"{entry.rung}/{entry.result.key[0]}/" + ".".join(entry.result.key[1:])


def _ids(found: Iterable[Entry]) -> str:
    return ", ".join(short(entry.id) for entry in found)


def entries(found: list[Entry]) -> list[str]:
    """BibTeX entries: the suite, the paper, and those of all methods, of earlier runs too, each once."""
    before = [one.entry.result for one in credit.earlier(found) if one.entry]
    names = credit.papers([*(entry.result for entry in found), *before])
    note = f"results {_ids(found)} in {STORE}/"
    return [bibtex.suite(_commits(found), note), *map(bibtex.paper, (bibtex.DATAFLEX, *names))]


def _commits(found: list[Entry]) -> list[str]:
    commits = (entry.result.run["manifest"].get("commit") for entry in found)
    return sorted({str(commit) for commit in commits if commit})
