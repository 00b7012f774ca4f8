"""Ids of the results that tables and figures are made from, and the list that resolves them."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dataflex.evidence.digests import combined
from dataflex.evidence.results import CellResult
from dataflex.evidence.store.identity import SHOWN, result_id, short
from paper_figures.table import Table

INDEX = "results"


def shown_id(result: CellResult) -> str:
    """The id of a result as tables show it."""
    return short(result_id(result))


def file_id(file: Path) -> str:
    """The id of a result that is a single file: by the rule of those that have several."""
    return combined({file.name: hashlib.sha256(file.read_bytes()).hexdigest()})


def ids(*groups: Iterable[CellResult]) -> tuple[str, ...]:
    """Ids of the results in all groups, each once, in their order."""
    return tuple(dict.fromkeys(shown_id(result) for group in groups for result in group))


def shown_in(*uses: tuple[str, Iterable[str]]) -> dict[str, list[str]]:
    """What shows a result, by its id as shown, from the names of tables and figures and the ids in each."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, sources in uses:
        for source in sources:
            found[source].append(name)
    return found


class Entry(NamedTuple):
    """A result: its whole id, where it lies below its rung, and the commit that made it, if that is known."""

    id: str
    place: str
    commit: str | None = None


def entries(results: Iterable[CellResult]) -> list[Entry]:
    """The entries of cells."""
    return [
        Entry(
            result_id(result),
            f"{result.folder.parent.name}/{result.folder.name}",
            dict(result.run["manifest"]).get("commit"),
        )
        for result in results
    ]


def index(found: Sequence[Entry], shown: Mapping[str, Sequence[str]]) -> Table:
    """The list of all results of a rung: id, place, commit of the code that made it, what shows it.

    Args:
        found: all of the rung.
        shown: names of the tables and figures by id as shown.
    """
    where = [", ".join(dict.fromkeys(shown.get(short(entry.id), ()))) or "-" for entry in found]
    return Table(
        name=INDEX,
        caption="Results that the tables and figures are made from",
        header=["Result", "Place", "Commit", "Shown in"],
        rows=[
            [short(entry.id), entry.place, (entry.commit or "-")[:SHOWN], names]
            for entry, names in zip(found, where, strict=True)
        ],
        notes=[
            "A result's id is the SHA-256 of the lines `digest  name` of its files, sorted by name; its "
            f"first {SHOWN} digits are shown, the whole is in the CSV. The commit is that of the code that "
            "trained."
        ],
        data_header=("result", "place", "commit", "shown_in"),
        data=[[*entry[:2], entry.commit or "", names] for entry, names in zip(found, where, strict=True)],
        long=True,
    )
