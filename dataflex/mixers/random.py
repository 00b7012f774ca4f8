"""A random mixture, drawn anew at every update: the control of dynamic mixing.

Used as the baseline of Dynamic Data Mixing for MoE (arXiv 2406.11256), which normalises independent
uniform numbers; those are not uniform on the simplex, a Dirichlet draw with concentration 1 is.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from dataflex.engine.component import Context, Mixer, Mixture


class RandomMixer(Mixer):
    """Draw proportions at random, different at each update and reproducible from the run's seed."""

    paper = "arXiv:2406.11256"

    distribution: Literal["dirichlet", "normalized_uniform"] = "dirichlet"
    """How proportions are drawn."""
    concentration: Annotated[float, Field(gt=0)] = 1.0
    """Of the Dirichlet distribution: 1 is uniform on the simplex, larger is nearer to equal shares."""

    def update(self, context: Context) -> Mixture:
        """Return a new draw."""
        domains = len(context.facts.domains)
        rng = context.rng("random mixer")
        if self.distribution == "dirichlet":
            return Mixture(rng.dirichlet(np.full(domains, self.concentration)))
        draw = rng.random(domains)
        return Mixture(draw / draw.sum())
