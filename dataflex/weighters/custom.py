"""A weighter of your own, in any module that Python can import."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import model_validator

from dataflex.engine.component import Context, FloatArray, Samples, Weighter
from dataflex.engine.custom import CustomComponent


class CustomWeighter(CustomComponent, Weighter):
    """Weigh with a function ``f(losses, context, **params) -> weights`` or a Weighter class of your own."""

    example = {"path": "dataflex.weighters.loss:LossWeighter", "params": {"r": 0.5}}
    contract = Weighter
    arguments = ("losses", "context")

    scope: Literal["step", "sample"] = "step"
    """Samples that a function gets. step: those of the whole optimizer step, to compare them with each other;
    sample: of one micro-batch, each to be weighed by itself, which never costs a forward."""
    normalize: Literal["mean1", "absolute"] = "mean1"
    """mean1: a function's weights are made one in the mean of a step; absolute: they scale the learning
    rate."""

    @model_validator(mode="after")
    def _fits_a_function(self) -> Self:
        given = sorted(self.model_fields_set & {"scope", "normalize"})
        if self._own and given:
            raise ValueError(f"{given[0]} is for functions: {self.path} is a class, which says so itself")
        if self.scope == "step" and "hidden_states" in self.signals:
            raise ValueError("hidden_states are known one micro-batch at a time: set scope: sample")
        return self

    def by_sample(self) -> bool:
        """As the class says, or ``scope``."""
        return bool(self._own.by_sample()) if self._own else self.scope == "sample"

    def relative(self) -> bool:
        """As the class says, or ``normalize``."""
        return bool(self._own.relative()) if self._own else self.normalize == "mean1"

    def before_step(self, context: Context) -> None:
        """Let the class measure."""
        if self._own:
            self._own.before_step(context)

    def weights(self, losses: FloatArray, context: Context) -> FloatArray:
        """Return what the function or class returns; the engine checks shape, sign and finiteness."""
        if self._own:
            return self._own.weights(losses, context)
        weights: Any = self._function(losses, context, **self.params)
        return weights

    def observe(self, losses: FloatArray, samples: Samples, step: int) -> None:
        """Show the class what was trained."""
        if self._own:
            self._own.observe(losses, samples, step)
