"""DoReMi: domain weights from a small proxy model (Xie et al., NeurIPS 2023, arXiv 2305.10429).

A proxy model is trained by group distributionally robust optimisation against a reference model of its size:
domains in which it has most left to learn get more weight in its loss. The mean of the weights over the steps
is the mixture that the main model is then trained with.

Where the paper's pseudo-code and the authors' program differ, the program is followed: the mean counts the
starting weights, and a domain that a step lacks keeps its last score. One thing is left out unless asked for
(``variant``). The loss of a step is weighed with the weights known before it, so that no micro-batch has to
wait for the others; the program does so for all but the last micro-batch of a step, which gets the new ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from dataflex.engine.component import Context, Facts, FloatArray, Mixer, Mixture, Need, StepLosses
from dataflex.errors import UserError
from dataflex.signals.reference import ReferenceSource


@dataclass(frozen=True)
class _Weights:
    """What has been learned after some updates; each shape ``(domains,)``."""

    log_alpha: FloatArray
    average: FloatArray
    """Mean of the weights, the starting ones included."""
    scores: FloatArray
    """Last score of each domain; NaN where there was none yet."""
    averaged: int = 1
    """Weights that the mean is over."""


class DoReMiMixer(Mixer):
    """Learn the mixture for another run: weigh domains in the loss by how far they are above a reference.

    Domains are drawn with fixed proportions. With ``update_step: 1`` and ``update_times: 0`` weights are
    updated after every step, as in the paper.
    """

    needs = frozenset({"reference_model"})
    paper = "arXiv:2305.10429"
    example = {"reference_model_path": "reference"}

    reference_model_path: str | None = None
    """Folder of the reference model: a finished run, or any model with the same tokenizer."""
    reference_losses: Literal["cached", "live", "zero"] = "cached"
    """cached: its token losses on all rows are computed once and kept on disk, 2 bytes a token, for all runs
    that share them. live: one forward more at every step, cheaper where a run sees few of the rows. zero:
    there is no reference, which is group DRO on the plain loss: a control that runs after noise."""
    reference_cache: str | None = None
    """Folder of the cached losses; none: beside the reference model."""
    eta: Annotated[float, Field(gt=0)] = 1.0
    """Step size of the weights."""
    eps: Annotated[float, Field(ge=0, le=1)] = 1e-3
    """Share of the weights that is spread equally over the domains at every update."""
    normaliser: Literal["token", "domain"] = "token"
    """What is weighed: tokens, corrected for the proportions they are drawn with (the authors' program), or
    the mean loss of each domain in the step (the paper's pseudo-code)."""
    score_clip: Literal["token", "domain", "none"] = "token"
    """Where a negative excess loss counts as zero: at each token, in the mean of a domain, or nowhere."""
    variant: Literal["default", "released"] = "default"
    """A domain of which no token was seen yet. default: its weight does not move; released: its score is the
    logarithm of the tokenizer's length, which draws nearly all weight to it, as in the authors' program."""
    sampling: Literal["uniform", "initial"] = "uniform"
    """Proportions that the domains are drawn with: equal ones, or those of the configuration."""

    _weights: _Weights | None = None
    _excess: FloatArray | None = None
    _tokens: FloatArray | None = None

    @model_validator(mode="after")
    def _one_reference(self) -> Self:
        if self.reference_losses == "zero" and self.reference_model_path is not None:
            raise ValueError("reference_losses: zero uses no reference model: remove reference_model_path")
        if self.reference_losses != "zero" and self.reference_model_path is None:
            raise ValueError("reference_model_path is missing: name the folder of the reference model")
        return self

    def requirements(self) -> frozenset[Need]:
        """Return what is to be measured: nothing without a reference."""
        return frozenset() if self.reference_losses == "zero" else self.needs

    def reference(self) -> ReferenceSource | None:
        """Return the model that losses are compared with."""
        if self.reference_losses == "zero" or self.reference_model_path is None:
            return None
        return ReferenceSource(self.reference_model_path, self.reference_losses, self.reference_cache)

    def check(self, facts: Facts) -> None:
        """Refuse to draw a domain never, since its weight could not be learned."""
        if self.sampling == "initial" and (facts.proportions <= 0).any():
            never = facts.domains[int(np.argmin(facts.proportions))]
            raise UserError(f"sampling: initial never draws {never!r}: give it a positive initial proportion")

    def moves_rows(self) -> bool:
        """Tell that only the loss weights change."""
        return False

    def observe(self, losses: StepLosses, step: int) -> None:
        """Add the step's excess losses to the evidence for the next update."""
        excess = losses.excess
        if self.reference_losses == "zero":
            excess = np.stack([losses.loss_sums, losses.loss_sums], axis=1)
        if excess is None:
            raise ValueError("DoReMi needs the excess losses of the step")
        if self._excess is None or self._tokens is None:
            self._excess, self._tokens = np.zeros_like(excess), np.zeros(len(losses.loss_tokens))
        self._excess = self._excess + excess
        self._tokens = self._tokens + losses.loss_tokens

    def update(self, context: Context) -> Mixture:
        """Return fixed proportions, and the loss weights after what was observed since the last update."""
        facts = context.facts
        if self._weights is None:
            self._weights = self._start(facts)
        self._weights = self._learned(self._weights)
        self._excess = self._tokens = None
        alpha = np.exp(self._weights.log_alpha)
        for key, values in (("alpha", alpha), ("average", self._weights.average)):
            context.notes[key] = dict(zip(facts.domains, values.tolist(), strict=True))
        context.notes["scores"] = dict(zip(facts.domains, _or_none(self._weights.scores), strict=True))
        count = len(facts.domains)
        drawn = np.full(count, 1 / count) if self.sampling == "uniform" else np.array(facts.proportions)
        if self.normaliser == "domain":
            return Mixture(drawn, alpha, "domain")
        return Mixture(drawn, alpha / drawn, "token")

    def learned(self) -> FloatArray | None:
        """Return the mean of the weights; the steps since the last update count as one more."""
        return None if self._weights is None else self._learned(self._weights).average

    def _start(self, facts: Facts) -> _Weights:
        count = len(facts.domains)
        scores = np.full(count, np.nan)
        if self.variant == "released":
            if facts.vocabulary is None:
                raise ValueError("variant released needs the length of the tokenizer")
            scores[:] = math.log(facts.vocabulary)
        return _Weights(np.full(count, -math.log(count)), np.full(count, 1 / count), scores)

    def _learned(self, weights: _Weights) -> _Weights:
        """Return the weights after one update with the present evidence; the same without any."""
        if self._excess is None or self._tokens is None or not self._tokens.any():
            return weights
        scores = np.where(self._tokens > 0, self._scores(self._excess, self._tokens), weights.scores)
        log_alpha = self._reweighed(weights.log_alpha, scores)
        averaged = weights.averaged + 1
        average = weights.average + (np.exp(log_alpha) - weights.average) / averaged
        return _Weights(log_alpha, average, scores, averaged)

    def _scores(self, excess: FloatArray, tokens: FloatArray) -> FloatArray:
        """Return the mean excess loss a token of each domain; 0 without tokens."""
        plain, positive = (excess / np.maximum(tokens, 1)[:, None]).T
        if self.score_clip == "token":
            return positive
        return np.maximum(plain, 0) if self.score_clip == "domain" else plain

    def _reweighed(self, log_alpha: FloatArray, scores: FloatArray) -> FloatArray:
        """Return the next weights: an exponentiated step, normalised, then smoothed.

        A domain without a score keeps its weight in the step, the others share the rest.
        """
        scored = np.isfinite(scores)
        stepped = log_alpha.copy()
        stepped[scored] += self.eta * scores[scored]
        grown = np.logaddexp.reduce(stepped[scored]) - np.logaddexp.reduce(log_alpha[scored])
        stepped[scored] -= grown
        stepped -= np.logaddexp.reduce(stepped)
        if self.eps == 0:
            return stepped
        equal = math.log(self.eps / len(scores))
        if self.eps == 1:
            return np.full(len(scores), equal)
        return np.logaddexp(stepped + math.log1p(-self.eps), equal)

    def state_dict(self) -> dict[str, Any]:
        """Return weights, mean and scores, and the evidence since the last update."""
        state: dict[str, Any] = {}
        if self._weights is not None:
            state |= {
                "log_alpha": self._weights.log_alpha.tolist(),
                "average": self._weights.average.tolist(),
                "scores": _or_none(self._weights.scores),
                "averaged": self._weights.averaged,
            }
        if self._excess is not None and self._tokens is not None:
            state |= {"excess": self._excess.tolist(), "tokens": self._tokens.tolist()}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        self._weights = self._excess = self._tokens = None
        if "log_alpha" in state:
            self._weights = _Weights(
                np.array(state["log_alpha"]),
                np.array(state["average"]),
                np.array([math.nan if score is None else score for score in state["scores"]]),
                state["averaged"],
            )
        if "tokens" in state:
            self._excess, self._tokens = np.array(state["excess"]), np.array(state["tokens"])


def _or_none(values: FloatArray) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]
