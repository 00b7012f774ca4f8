"""Online Data Mixing: domains as arms of a bandit whose reward is their training loss.

Albalak, Pan, Raffel, Wang: Efficient Online Data Mixing for Language Model Pre-Training, arXiv:2312.02406;
authors' code github.com/alon-albalak/online-data-mixing. After step t, with K domains,
``eps_t = min(1 / K, sqrt(ln K / (K t)))`` is the least share of a domain, and the rest is dealt by rewards.
They draw batches of one domain; here every domain of a mixed batch gets its reward, from the losses of the
training forward. What the paper writes and what its code does differ, hence ``estimator``.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, PrivateAttr

from dataflex.engine.component import Context, Facts, FloatArray, Mixer, Mixture, StepLosses
from dataflex.errors import UserError


class OdmMixer(Mixer):
    """Draw more from domains whose loss is high, and always a little from all.

    Its shares start from 1/K for K domains, whatever the initial proportions are; these hold until the first
    rewards are in. No share is below 1/K up to step K ln K, and from there on the least share falls. A
    warm-up counts as steps (``clock``): after one that is longer, shares follow the rewards at once.
    """

    paper = "arXiv:2312.02406"

    estimator: Literal["released", "paper", "exp3"] = "released"
    """released: shares linear in a running mean of exp(loss), as in the authors' runs; paper: exponential in
    a running mean of loss over share; exp3: exponential in the sum of the losses over share."""
    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Part of a running mean that is kept at each step; exp3 has none."""
    reward_scale: Annotated[float, Field(gt=0)] | None = None
    """What a loss in nats a token is multiplied by, for paper and exp3; none: 1 and 0.1."""
    importance: bool = True
    """Divide rewards of paper and exp3 by the share that the domain was drawn with."""
    min_exploration: Annotated[float, Field(ge=0)] = 0.0
    """Least share of every domain, however long the run."""
    clock: Literal["global", "since_warmup"] = "global"
    """Whether t counts the steps of the warm-up, as the authors' code does."""
    _rewards: FloatArray | None = PrivateAttr(default=None)
    """Estimated reward of each domain; None before the first decision, until which nothing is learned."""
    _began: int = PrivateAttr(default=0)
    """Step of the first decision."""

    def check(self, facts: Facts) -> None:
        """Refuse a least share that leaves nothing to decide."""
        domains = len(facts.domains)
        if domains < 2:
            raise UserError("odm mixes domains: name two or more in dataset")
        if self.min_exploration * domains >= 1:
            raise UserError(
                f"component_params.min_exploration is {self.min_exploration}, which {domains} domains can't "
                f"all have: use less than {1 / domains:.4g}"
            )

    def observe(self, losses: StepLosses, step: int) -> None:
        """Take the mean loss of every domain of the step as its reward."""
        if self._rewards is None:
            return
        seen = losses.loss_tokens > 0
        reward = losses.loss_sums[seen] / losses.loss_tokens[seen]
        if self.estimator == "released":
            reward = np.exp(reward)
        else:
            default = 0.1 if self.estimator == "exp3" else 1.0
            reward = reward * (self.reward_scale or default)
            reward = reward / losses.proportions[seen] if self.importance else reward
        if self.estimator == "exp3":
            self._rewards[seen] += reward
        else:
            self._rewards[seen] = self.smoothing * self._rewards[seen] + (1 - self.smoothing) * reward

    def update(self, context: Context) -> Mixture:
        """Return the shares after the rewards so far; the first time, the initial ones."""
        if self._rewards is None:
            self._rewards, self._began = np.zeros(len(context.facts.domains)), context.step
        context.notes["rewards"] = dict(zip(context.facts.domains, self._rewards.tolist(), strict=True))
        if not self._rewards.any():
            return Mixture(np.array(context.facts.proportions))
        return Mixture(self.shares(context.step - (self._began if self.clock == "since_warmup" else 0)))

    def shares(self, t: int) -> FloatArray:
        """Return the shares after step ``t``, counted from one; the rewards are those so far."""
        assert self._rewards is not None
        floor = self._exploration(t)
        if self.estimator == "released":
            odds = self._rewards
        else:
            exponents = self._exploration(t - 1) * self._rewards
            odds = np.exp(exponents - exponents.max())
        return (1 - len(odds) * floor) * odds / odds.sum() + floor

    def _exploration(self, t: int) -> float:
        assert self._rewards is not None
        domains = len(self._rewards)
        falling = math.sqrt(math.log(domains) / (domains * t)) if t > 0 else 1.0
        return max(min(1 / domains, falling), self.min_exploration)

    def state_dict(self) -> dict[str, Any]:
        """Return the rewards and the step of the first decision."""
        rewards = None if self._rewards is None else self._rewards.tolist()
        return {"rewards": rewards, "began": self._began}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        self._rewards = None if state["rewards"] is None else np.array(state["rewards"])
        self._began = state["began"]
