"""A fixed mixture: the baseline, and the last step of every method that learns proportions beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
from pydantic import model_validator

from dataflex.engine.component import Context, Facts, FloatArray, Mixer, Mixture
from dataflex.engine.proportions import as_proportions, learned_proportions


class StaticMixer(Mixer):
    """Keep the same proportions for the whole run."""

    constant = True

    proportions: list[float] | dict[str, float] | None = None
    """Shares of the loss tokens, in the order of ``dataset`` or by name; none keeps the initial ones."""

    proportions_from: str | None = None
    """Directory of a finished run that learned proportions (mixer doremi), to keep those."""

    @model_validator(mode="after")
    def _from_one_place(self) -> Self:
        if self.proportions is not None and self.proportions_from is not None:
            raise ValueError("proportions and proportions_from contradict each other: give one of them")
        return self

    def check(self, facts: Facts) -> None:
        """Refuse proportions that do not fit the domains."""
        self._kept(facts)

    def update(self, context: Context) -> Mixture:
        """Return the fixed proportions."""
        return Mixture(self._kept(context.facts))

    def _kept(self, facts: Facts) -> FloatArray:
        if self.proportions_from is not None:
            return learned_proportions(Path(self.proportions_from), facts.domains, "proportions_from")
        if self.proportions is not None:
            return as_proportions(self.proportions, facts.domains, "component_params.proportions")
        return np.array(facts.proportions)
