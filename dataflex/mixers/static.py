"""A fixed mixture: the baseline, and the last step of every method that learns proportions beforehand."""

from __future__ import annotations

import numpy as np

from dataflex.engine.component import Context, Facts, Mixer, Mixture
from dataflex.engine.proportions import as_proportions


class StaticMixer(Mixer):
    """Keep the same proportions for the whole run."""

    constant = True

    proportions: list[float] | dict[str, float] | None = None
    """Shares of the loss tokens, in the order of ``dataset`` or by name; none keeps the initial ones."""

    def check(self, facts: Facts) -> None:
        """Refuse proportions that do not fit the domains."""
        if self.proportions is not None:
            as_proportions(self.proportions, facts.domains, "component_params.proportions")

    def update(self, context: Context) -> Mixture:
        """Return the fixed proportions."""
        if self.proportions is None:
            return Mixture(np.array(context.facts.proportions))
        return Mixture(as_proportions(self.proportions, context.facts.domains, "proportions"))
