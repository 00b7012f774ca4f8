"""Cells that differ in something that all beside them share."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import TypeVar

from dataflex.evidence.results import CellResult

Value = TypeVar("Value", bound=Hashable)
Trouble = tuple[CellResult, str]
Group = Callable[[CellResult], Hashable]


def odd_ones(
    results: Sequence[CellResult], group: Group, of: Callable[[CellResult], Hashable], sentence: str
) -> Iterator[Trouble]:
    """Cells whose value is not that of more than any other of their group; of a tie both sides.

    Args:
        results: the cells.
        group: which cells should have the same value.
        of: the value.
        sentence: what to say of a cell that differs from most.
    """
    for runs in _grouped(results, group):
        values = [of(run) for run in runs]
        counts = Counter(values)
        most = _most(counts)
        for run, value in zip(runs, values, strict=True):
            if value not in most:
                yield run, sentence
            elif len(most) > 1:
                yield run, f"{sentence}, or they have: as many say the one as the other"


def outvoted(
    results: Sequence[CellResult], group: Group, of: Callable[[CellResult], Mapping[str, int]], sentence: str
) -> Iterator[Trouble]:
    """Cells that give something another number than most cells of their group do; of a tie both sides.

    Args:
        results: the cells.
        group: which cells should give the same numbers.
        of: a cell's numbers by the name of what they are of; cells may be about different things.
        sentence: with ``{wrong}``, ``{all}`` and ``{first}``: how many of how many differ, and the first one.
    """
    for runs in _grouped(results, group):
        tables = [of(run) for run in runs]
        votes: dict[str, Counter[int]] = defaultdict(Counter)
        for table in tables:
            for name, number in table.items():
                votes[name][number] += 1
        disputed = {name: _most(counts) for name, counts in votes.items() if len(counts) > 1}
        for run, table in zip(runs, tables, strict=True):
            wrong = sorted(name for name, most in disputed.items() if name in table and most != {table[name]})
            if wrong:
                yield run, sentence.format(wrong=len(wrong), all=len(table), first=wrong[0])


def _grouped(results: Sequence[CellResult], group: Group) -> list[list[CellResult]]:
    groups: dict[Hashable, list[CellResult]] = defaultdict(list)
    for result in results:
        groups[group(result)].append(result)
    return list(groups.values())


def _most(counts: Counter[Value]) -> set[Value]:
    """What was counted most often; several of a tie."""
    top = max(counts.values())
    return {value for value, count in counts.items() if count == top}
