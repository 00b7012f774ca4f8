"""The runs that a result rests on, and the papers whose methods took part in any of them.

A run may start from another's model, train on the proportions that another has learned, or measure losses
against another's: DoReMi's main run is ``static``, and what is DoReMi in it was done by its proxy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath

from dataflex.citing import bibtex
from dataflex.evidence.results import CellResult, read_cell
from dataflex.evidence.store.find import Entry
from dataflex.evidence.store.identity import result_id

NAME_RUNS = ("proportions_from", "reference_model_path", "checkpoints")
"""Parameters of components that name folders of runs, or of checkpoints in them."""


@dataclass(frozen=True)
class Earlier:
    """A run that another one rests on.

    Attributes:
        name: experiment and cell, or the folder as it was named where that is none of a grid's.
        entry: what the store has in its place; None where it has nothing.
        same: whether ``entry`` is that very run and not one of another version of the code.
    """

    name: str
    entry: Entry | None
    same: bool


def earlier(found: Iterable[Entry]) -> list[Earlier]:
    """The runs before these, and those before them, each once."""
    known: dict[tuple[str, bool], Earlier] = {}
    waiting = list(found)
    for entry in waiting:
        for name in _named(entry.result):
            one = _look_up(name, entry)
            if (one.name, one.same) not in known:
                known[one.name, one.same] = one
                waiting += [one.entry] if one.entry else []
    return list(known.values())


def papers(runs: Iterable[CellResult]) -> list[str]:
    """Identifiers of the papers of the methods in these runs, each once, without the reproduced paper."""
    from dataflex.registry import components

    # Selectors, mixers and weighters may share a name: `loss` and `random` do.
    known = {
        (kind, name): bibtex.identifier(getattr(component, "paper", None) or "")
        for kind, own in components().items()
        for name, component in own.items()
    }
    used = (
        known.get((kind, str(decision["component"])))
        for run in runs
        for kind, decision in run.run["manifest"]["decisions"].items()
    )
    return list(dict.fromkeys(name for name in used if name and name != bibtex.DATAFLEX))


def _named(run: CellResult) -> Iterator[str]:
    """Folders of the runs that a run names, the last two parts of each: experiment and cell in a grid."""
    if start := run.run.get("start"):
        yield "{experiment}/{method}.{model}.{scale}.seed{seed}".format(**start)
    for decision in run.run["manifest"]["decisions"].values():
        for parameter in NAME_RUNS:
            value = decision["params"].get(parameter) or ()
            for folder in (value,) if isinstance(value, str) else value:
                parts = PurePath(folder).parts
                yield "/".join(parts[:-1][-2:] if parts[-1].startswith("checkpoint-") else parts[-2:])


def _look_up(name: str, of: Entry) -> Earlier:
    folder = of.result.folder.parents[1] / name
    if not (folder / "run.json").is_file():
        return Earlier(name, None, same=False)
    result = read_cell(folder)
    return Earlier(
        name, Entry(of.rung, result, result_id(result)), same=_commit(result) == _commit(of.result)
    )


def _commit(run: CellResult) -> str | None:
    return dict(run.run["manifest"]).get("commit")
