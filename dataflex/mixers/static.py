"""A fixed mixture: the baseline, and the last step of every method that learns proportions beforehand.

Temperature sampling flattens the natural proportions (Devlin et al. 2019 for mBERT; T of 1 is natural, large
T uniform). UniMax (Chung et al., arXiv:2304.09151) is as uniform as a run's tokens allow without showing any
domain more than a number of epochs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from dataflex.engine.component import Context, Facts, FloatArray, Mixer, Mixture
from dataflex.engine.proportions import as_proportions, learned_proportions


class StaticMixer(Mixer):
    """Keep the same proportions for the whole run."""

    constant = True

    rule: Literal["initial", "natural", "uniform", "temperature", "unimax"] = "initial"
    """initial: those of the configuration; natural: by loss tokens; uniform: all alike; temperature and
    unimax: in between."""
    proportions: list[float] | dict[str, float] | None = None
    """Shares of the loss tokens, in the order of ``dataset`` or by name, instead of a rule."""
    proportions_from: str | None = None
    """Directory of a finished run that learned proportions (mixer doremi), to keep those."""
    temperature: Annotated[float, Field(gt=0)] = 1.43
    """With temperature, shares are natural ones to the power of its inverse; mBERT's exponent is 0.7."""
    max_epochs: Annotated[float, Field(gt=0)] = 4.0
    """With unimax, the most often that a row is seen."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = {
            "proportions": self.proportions is not None,
            "proportions_from": self.proportions_from is not None,
            f"rule: {self.rule}": self.rule != "initial",
        }
        given = [way for way, there in ways.items() if there]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other: keep one of them")
        return self

    def check(self, facts: Facts) -> None:
        """Refuse proportions that do not fit the domains."""
        self._shares(facts)

    def update(self, context: Context) -> Mixture:
        """Return the fixed proportions."""
        return Mixture(self._shares(context.facts))

    def _shares(self, facts: Facts) -> FloatArray:
        if self.proportions_from is not None:
            return learned_proportions(Path(self.proportions_from), facts.domains, "proportions_from")
        if self.proportions is not None:
            return as_proportions(self.proportions, facts.domains, "component_params.proportions")
        if self.rule == "initial":
            return np.array(facts.proportions)
        if self.rule == "unimax":
            return unimax(facts, self.max_epochs)
        tokens = facts.loss_tokens.astype(np.float64)
        exponent = {"natural": 1.0, "uniform": 0.0, "temperature": 1 / self.temperature}[self.rule]
        odds = np.where(tokens > 0, (tokens / tokens.max()) ** exponent, 0.0)
        return odds / odds.sum()


def unimax(facts: Facts, max_epochs: float) -> FloatArray:
    """Return UniMax's proportions of loss tokens for the rows that a run trains on.

    Every domain gets the same number of tokens, but none more than ``max_epochs`` of its own; the smallest
    domains are settled first and what they can't take goes to the others. Where all of them together can't
    fill the run, proportions are natural.

    Args:
        facts: the run.
        max_epochs: cap.
    """
    tokens = facts.loss_tokens.astype(np.float64)
    rows_of_a_token = np.divide(facts.rows, tokens, out=np.zeros(len(tokens)), where=tokens > 0)
    caps, given = max_epochs * tokens, np.zeros(len(tokens))
    # The budget is in rows, so that domains of short rows don't stretch the run.
    budget = float(facts.total_steps * facts.batch_rows)
    left = rows_of_a_token.sum()
    for domain in np.argsort(caps, kind="stable"):
        if tokens[domain] == 0:
            continue
        given[domain] = min(budget / left, caps[domain])
        budget -= given[domain] * rows_of_a_token[domain]
        left -= rows_of_a_token[domain]
    return given / given.sum()
