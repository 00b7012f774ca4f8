"""What to drop first when a grid costs more than there is.

Cells go one after the other until the rest fits:

1. those whose published effect their comparison could not detect, however the answers fall;
2. then further seeds, the last one first, since a first seed of everything says more than a second of some;
3. then all others.

Among equals the one goes that frees most, since each says as much as the others. A baseline goes with the
last comparison that it served, a helper run with the last cell that builds on it. At the end cells that fit
after all come back, the last dropped first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Candidate:
    """A cell that is trained."""

    path: str
    hours: Fraction | float
    """Device-hours of its training."""
    looked_at: Fraction | float = 0.0
    """Device-hours of its evaluation, for a cell that is asked for."""
    needs: tuple[str, ...] = ()
    """Paths of the cells that it builds on."""
    asked: bool = True
    """False: a helper run, there for others alone."""
    hopeless: bool = False
    """Whether its comparison could not detect what was published."""
    seed: int = 0
    """Place of its seed among those asked, from 0."""
    serves: tuple[str, ...] = ()
    """A baseline's: the paths of the cells that are compared with it."""


@dataclass(frozen=True)
class Proposal:
    """What remains, and what was dropped in its order, with the reason."""

    kept: tuple[str, ...]
    """All that is trained: asked cells and what they build on."""
    asked: tuple[str, ...]
    """Cells that are evaluated."""
    dropped: tuple[tuple[str, str], ...]
    hours: float


def propose(candidates: Sequence[Candidate], budget: float) -> Proposal:
    """Choose what to drop so that the rest costs no more than ``budget`` device-hours."""
    by_path = {one.path: one for one in candidates}
    wanted = {one.path for one in candidates if one.asked}
    dropped: list[tuple[str, str]] = []
    while wanted and _cost(by_path, wanted) > budget:
        path, why = _next(by_path, wanted)
        wanted.remove(path)
        dropped.append((path, why))
        idle = sorted(one for one in wanted if by_path[one].serves and not wanted & set(by_path[one].serves))
        wanted -= set(idle)
        dropped += [(one, "a baseline without comparisons") for one in idle]
    for path, _ in reversed(list(dropped)):
        own = by_path[path]
        if own.serves:
            continue
        # With its baseline, without which it could be compared with nothing.
        back = {path} | {one.path for one in candidates if path in one.serves}
        if _cost(by_path, wanted | back) <= budget:
            wanted |= back
    dropped = [(path, why) for path, why in dropped if path not in wanted]
    kept = _closure(by_path, wanted)
    return Proposal(
        tuple(path for path in by_path if path in kept),
        tuple(path for path in by_path if path in wanted),
        tuple(dropped),
        float(_cost(by_path, wanted)),
    )


def _next(by_path: Mapping[str, Candidate], wanted: Collection[str]) -> tuple[str, str]:
    """The cell that goes next, and why."""
    total = _cost(by_path, wanted)

    def rank(path: str) -> tuple[int, int, Fraction | float, str]:
        tier, seed, _ = _tier(by_path[path])
        return tier, -seed, _cost(by_path, set(wanted) - {path}) - total, path

    # A baseline goes only with what it serves.
    choice = [path for path in wanted if not by_path[path].serves] or list(wanted)
    path = min(choice, key=rank)
    return path, _tier(by_path[path])[2]


def _tier(cell: Candidate) -> tuple[int, int, str]:
    if cell.hopeless:
        return 0, 0, "its effect could not be detected"
    if cell.seed:
        return 1, cell.seed, "a further seed"
    return 2, 0, "frees most"


def _closure(by_path: Mapping[str, Candidate], wanted: Iterable[str]) -> set[str]:
    """Paths of cells and of all that they build on."""
    found: set[str] = set()
    pending = list(wanted)
    while pending:
        path = pending.pop()
        if path not in found:
            found.add(path)
            pending += by_path[path].needs
    return found


def _cost(by_path: Mapping[str, Candidate], wanted: Collection[str]) -> Fraction | float:
    """Device-hours of training cells and what they build on, and of looking at the cells themselves."""
    trained = sum(by_path[path].hours for path in sorted(_closure(by_path, wanted)))
    return trained + sum(by_path[path].looked_at for path in sorted(wanted))
