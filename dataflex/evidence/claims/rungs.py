"""Where a rung of results keeps what the paper's names mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dataflex.evidence.results import CellResult

ANY = "*"


@dataclass(frozen=True)
class Places:
    """One table of the paper, on one rung.

    Attributes:
        models: of the rung, by the paper's name; ``*`` stands for every other one.
        scales: likewise.
        methods: ``experiment/method`` of the rung, by the paper's name.
        domains: of the rung, by the paper's metric; empty where metrics have none.
    """

    models: Mapping[str, str]
    scales: Mapping[str, str]
    methods: Mapping[str, str]
    domains: Mapping[str, str]

    def key(self, model: str, scale: str, method: str) -> tuple[str, str, str, str] | None:
        """Experiment, method, model and scale of the rung; None if it has no place for them."""
        place = self.methods.get(method)
        own_model = self.models.get(model, self.models.get(ANY))
        own_scale = self.scales.get(scale, self.scales.get(ANY))
        if place is None or own_model is None or own_scale is None:
            return None
        experiment, _, name = place.partition("/")
        return experiment, name, own_model, own_scale

    def runs(self, results: Sequence[CellResult], model: str, scale: str, method: str) -> list[CellResult]:
        """The seeds of a method; none if it was not run or the rung does not have it."""
        key = self.key(model, scale, method)
        return [result for result in results if result.key == key]


@dataclass(frozen=True)
class Rung:
    """A scale at which the claims are tested.

    Attributes:
        name: of its folder in ``results/``.
        same: whether models and data are the paper's, so that sizes can be compared and not only signs.
        seeds: that were registered: runs with others are no evidence, and where one is missing, nobody knows
            why.
        tables: where it keeps what.
    """

    name: str
    same: bool
    seeds: frozenset[int]
    tables: Mapping[str, Places]
