"""Finding results in the store, by id or by what they are of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dataflex.errors import UserError
from dataflex.evidence.results import CellResult, read_results
from dataflex.evidence.store.identity import result_id, short

STORE = Path("results")
TIMINGS = "efficiency"
"""Folder in the store that holds seconds on one machine and no cells: see ``timings``."""

HEADLINES = (
    "mmlu.acc",
    "mmlu.answer_nll",
    "bits_per_byte.all",
    "bits_per_byte.natural",
    "precision",
    "loss.target",
)
"""Numbers that stand for a result where there is room for few."""


@dataclass(frozen=True)
class Entry:
    """A result in the store.

    Attributes:
        rung: its folder there.
        result: the cell.
        id: see ``identity.result_id``.
    """

    rung: str
    result: CellResult
    id: str

    @property
    def name(self) -> str:
        """Rung, experiment and cell."""
        return f"{self.rung}/{self.result.folder.parent.name}/{self.result.folder.name}"


def rungs(store: Path = STORE) -> list[Path]:
    """The folders of the rungs.

    Raises:
        UserError: there is no store here, or it is empty.
    """
    if not store.is_dir():
        raise UserError(f"there is no folder {store}/ here: run this at the root of the repository")
    found = sorted(
        entry for entry in store.iterdir() if entry.name != TIMINGS and any(entry.glob("*/*/run.json"))
    )
    if not found:
        raise UserError(f"{store}/ holds no reviewed results yet")
    return found


def entries(store: Path = STORE, rung: str | None = None) -> Iterator[Entry]:
    """The results of the store, or of one rung.

    Raises:
        UserError: there is no such rung.
    """
    folders = [folder for folder in rungs(store) if rung in (None, folder.name)]
    if not folders:
        known = ", ".join(folder.name for folder in rungs(store))
        raise UserError(f"{store}/ has no rung {rung!r}: it has {known}")
    for folder in folders:
        for result in read_results(folder):
            yield Entry(folder.name, result, result_id(result))


def inside(words: str, store: Path = STORE) -> list[Entry]:
    """The results of a rung or of one of its experiments; none where the words are not ``rung[/experiment]``.

    Raises:
        UserError: the rung has no such experiment.
    """
    rung, *rest = words.strip("/").split("/")
    if len(rest) > 1 or rung not in {folder.name for folder in rungs(store)}:
        return []
    found = [entry for entry in entries(store, rung) if not rest or entry.result.key[0] == rest[0]]
    if not found:
        known = ", ".join(sorted({entry.result.key[0] for entry in entries(store, rung)}))
        raise UserError(f"{rung} has no experiment {rest[0]!r}: it has {known}")
    return found


def grouped(found: Iterable[Entry]) -> list[tuple[str, list[Entry]]]:
    """Entries by cell, their seeds together; a cell's name is ``rung/experiment/method.model.scale``."""
    cells: dict[str, list[Entry]] = {}
    for entry in found:
        cells.setdefault(entry.name.rpartition(".seed")[0], []).append(entry)
    return list(cells.items())


def find(words: str, store: Path = STORE) -> list[Entry]:
    """The results that some words mean.

    Args:
        words: the beginning of an id; or ``rung/experiment/cell``, where a cell without its end
            (``natural`` or ``natural.tiny``) means all of its seeds.
        store: its folder.

    Raises:
        UserError: they mean nothing, or the beginning of an id means several.
    """
    parts = words.strip("/").split("/")
    if len(parts) == 3:
        rung, experiment, cell = parts
        found = [
            entry
            for entry in entries(store, rung)
            if entry.result.key[0] == experiment
            and (entry.result.folder.name == cell or entry.result.folder.name.startswith(f"{cell}."))
        ]
    elif len(parts) == 1:
        found = [entry for entry in entries(store) if entry.id.startswith(words.lower())]
        if len(found) > 1:
            names = ", ".join(f"{short(entry.id)} ({entry.name})" for entry in found[:3])
            raise UserError(f"{words!r} is the beginning of {len(found)} ids: {names}, ...")
    else:
        found = []
    if len({entry.result.key for entry in found}) > 1:
        raise UserError(
            f"{words!r} are several cells, of other models or scales: name one, for example "
            f"{found[0].rung}/{found[0].result.folder.parent.name}/{'.'.join(found[0].result.key[1:])}"
        )
    if not found:
        raise UserError(
            f"no result is called {words!r}: name an id (dataflex-cli results list) or rung/experiment/cell, "
            "for example demo/mixture/odm (dataflex-cli results show demo/mixture lists the cells there)"
        )
    return found
