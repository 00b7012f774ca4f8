"""What all methods have in common: parameters, what they need of a run, and a state that survives a crash."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from dataflex.engine.facts import Facts
from dataflex.engine.schedule import Kind
from dataflex.signals.reference import ReferenceSource

Need = Literal[
    "per_sample_loss",
    "per_sample_gradient",
    "adam_moments",
    "saved_weights",
    "reference_model",
    "validation_set",
    "generation",
    "embeddings",
    "hidden_states",
    "router_counts",
    "frozen_routers",
]
"""What a run has to measure, hold or leave alone for a component.

    per_sample_loss       losses of rows or samples one by one
    per_sample_gradient   gradients of rows one by one (``Signals.alignment`` and the like)
    adam_moments          the optimizer's moments, for gradients as Adam would apply them
    saved_weights         weights of an earlier run's checkpoints, in the place of the model's own
    reference_model       a model that is not trained; its token losses come as ``StepLosses.excess``
    validation_set        the rows of ``eval_dataset``
    generation            continuations that the model samples
    embeddings            vectors of rows, from the model or another one
    hidden_states         the model's last hidden states (``Samples.states``, ``Signals.validation_states``)
    router_counts         tokens that each expert got (``StepLosses.router_counts``)
    frozen_routers        routers that are not trained
"""


class Component(BaseModel):
    """Base of every method. Public fields are its parameters; unknown ones and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True, allow_inf_nan=False)

    kind: ClassVar[Kind]
    needs: ClassVar[frozenset[Need]] = frozenset()
    paper: ClassVar[str] = ""
    """Where the method comes from."""
    example: ClassVar[dict[str, Any]] = {}
    """Parameters of a small run, for the tests that every registered component has to pass."""
    least_updates: ClassVar[int] = 1
    """Decisions between two warm-ups below which the method can't do what it is for."""
    constant: ClassVar[bool] = False
    """Whether it always decides the same, so that it needs no schedule."""

    seed: Annotated[int, Field(ge=0)] | None = None
    """Seed of this component's draws; none takes the run's."""

    def requirements(self) -> frozenset[Need]:
        """Return what has to be measured with these parameters; ``needs`` unless a parameter changes it."""
        return self.needs

    def reference(self) -> ReferenceSource | None:
        """Return the model that losses are compared with, for a method that needs ``reference_model``."""
        return None

    def check(self, facts: Facts) -> None:
        """Refuse a run that the parameters do not fit, before a model is loaded.

        Raises:
            UserError: names the parameter to change.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return what the method has learned so far: JSON types, and numpy arrays at the top level.

        Stateless methods keep this.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
