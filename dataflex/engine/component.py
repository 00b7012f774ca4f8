"""What a method is: the contracts of selectors, mixers and weighters.

A component is a class with typed parameters and one decision rule. It sees the run only through the
context that is handed to it, so that it can be tested with plain arrays. Everything a decision needs from
the model is asked of the context; everything that must survive a crash goes through ``state_dict``.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from dataflex.engine.schedule import Kind
from dataflex.errors import UserError
from dataflex.signals.embeddings import Embeddings, EmbeddingSource
from dataflex.signals.features import GradientFeatures, Targets
from dataflex.signals.reference import ReferenceSource
from dataflex.signals.rollouts import Rollouts, Sampling

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

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
"""What a run has to measure, hold or leave alone for a component."""


@dataclass(frozen=True)
class ValidationFacts:
    """The validation set that a selection is meant for: the rows of ``eval_dataset``."""

    rows: int
    columns: Mapping[str, tuple[str, ...]]
    """Values of each row's columns that can name its subtask; ``dataset`` is always one of them."""

    def groups(self, column: str | None) -> IntArray:
        """Return the subtask of each row, numbered by first appearance; all zero without a column.

        Raises:
            UserError: there is no such column.
        """
        if column is None:
            return np.zeros(self.rows, np.int64)
        if column not in self.columns:
            raise UserError(
                f"validation_subtask: the validation set has no column {column!r}, only "
                f"{', '.join(sorted(self.columns))} (read from local files of which every row is used)"
            )
        numbers: dict[str, int] = {}
        return np.array([numbers.setdefault(value, len(numbers)) for value in self.columns[column]], np.int64)


@dataclass(frozen=True)
class Facts:
    """What is known of a run before its first step, the same on every rank."""

    domains: tuple[str, ...]
    """Names, in the order of the configuration's ``dataset``."""
    rows: IntArray
    """Rows of each domain."""
    loss_tokens: IntArray
    """Supervised tokens of each domain's rows, after the shift by one."""
    proportions: FloatArray
    """Initial proportions over loss tokens; they sum to one."""
    seed: int
    batch_rows: int
    """Rows of one optimizer step, over micro-batches, accumulation and ranks."""
    total_steps: int
    validation: ValidationFacts | None = None
    """None when no component needs a validation set."""
    row_keys: Callable[[], list[str]] | None = None
    """Makes the key of every row (``signals.scores.row_keys``); None before rows are loaded."""
    vocabulary: int | None = None
    """Tokens that the tokenizer knows; None before it is loaded."""

    @property
    def total_rows(self) -> int:
        """Rows of all domains."""
        return int(self.rows.sum())

    def domain_of(self, ids: IntArray) -> IntArray:
        """Return the domain index of each row id (rows are numbered domain after domain)."""
        return np.searchsorted(np.cumsum(self.rows), ids, side="right").astype(np.int64)


class Signals(Protocol):
    """What a component may measure with the model as it is at a step.

    A measurement is made when it is first asked for and kept for the step, so that several decisions share
    one pass. All ranks must ask alike. Ask only for what the component declares in ``needs``.
    """

    def losses(self) -> FloatArray:
        """Return the mean loss in nats a supervised token of every row; NaN where a row has none.

        Shape ``(rows,)``, equal on all ranks. One batched pass over all rows, without gradients, sharded
        over the ranks.
        """
        ...

    def validation_targets(self, groups: IntArray, features: GradientFeatures) -> Targets:
        """Return the mean unit gradient of each group of validation rows.

        Args:
            groups: group of each validation row, from 0; shape ``(validation rows,)``.
            features: only its projection matters: validation gradients are never preconditioned.

        Raises:
            UserError: a group has no row with a finite gradient other than zero.
        """
        ...

    def policy_targets(
        self, rollouts: Rollouts, advantages: FloatArray, groups: IntArray, features: GradientFeatures
    ) -> Targets:
        """Return targets as ``validation_targets`` does, from policy gradients.

        The gradient of a validation row is that of the sum over its continuations of advantage times
        negative log-likelihood; rows of which it vanishes don't count.

        Args:
            rollouts: from ``rollouts``, at this step.
            advantages: shape ``(validation rows, continuations)``.
            groups: see ``validation_targets``.
            features: see ``validation_targets``.
        """
        ...

    def alignment(
        self, targets: Targets, features: GradientFeatures, rows: IntArray | None = None
    ) -> FloatArray:
        """Return the inner product of each row's unit gradient feature with each target.

        Shape ``(rows, groups)``, equal on all ranks; NaN where a row has no supervised token or its gradient
        is not finite, 0 where it vanishes. ``rows``: ids to measure; None measures all.
        """
        ...

    def group_alignment(
        self, targets: Targets, features: GradientFeatures, groups: Sequence[IntArray]
    ) -> FloatArray:
        """Return the inner product of each group's normalised mean unit feature with each target.

        Shape ``(len(groups), target groups)``; rows without a finite feature don't count, and a group
        without any other gets NaN. ``groups``: ids of the rows of each group.
        """
        ...

    def rollouts(self, sampling: Sampling, seed: int) -> Rollouts:
        """Sample continuations of every validation prompt from the present weights, equal on all ranks."""
        ...

    def embeddings(self, source: EmbeddingSource) -> Embeddings:
        """Return unit vectors of all rows and of the validation rows, equal on all ranks.

        They are computed once and kept beside the run, except those of the present model.
        """
        ...

    def validation_states(self, rows: IntArray) -> FloatArray:
        """Return one vector a validation row from the present model's last hidden states.

        They are pooled as ``Samples.states`` are. Shape ``(len(rows), H)``, equal on all ranks; one pass
        without gradients, sharded over the ranks.

        Args:
            rows: which of the validation rows.
        """
        ...

    def at_checkpoint(self, checkpoint: Path) -> AbstractContextManager[Signals]:
        """Put a checkpoint's trainable weights and optimizer state in place of the present ones for a block.

        Yields signals that measure there.

        Raises:
            UserError: the folder holds no checkpoint of this model.
        """
        ...


@dataclass(frozen=True)
class Samples:
    """Samples of an optimizer step: what is known of them beside their losses."""

    rows: IntArray
    """Row ids, shape ``(n,)``."""
    domains: IntArray
    """Domain of each."""
    loss_tokens: IntArray
    """Supervised tokens of each."""
    states: FloatArray | None = None
    """One vector a sample, shape ``(n, H)``, from the last hidden states of the training forward: means whose
    weights rise with the position (``signals.states``); None unless ``hidden_states`` is needed."""


@dataclass(frozen=True)
class Context:
    """A decision's view of the run at one step."""

    facts: Facts
    step: int
    update: int
    """Index of this decision among those of its component, from 0."""
    signals: Signals
    updates: int = 1
    """Decisions between two warm-ups, or of the whole run when there is only one."""
    samples: Samples | None = None
    """What a weighter weighs; None where no samples are looked at."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What the component wants kept with its decision: JSON types go to the plan log; arrays with one value a
    row of the pool are saved beside the selection."""

    def rng(self, purpose: str) -> np.random.Generator:
        """Return a generator that depends on seed, step and ``purpose`` alone: equal on every rank.

        The global generators of the process are never touched.
        """
        return np.random.default_rng([self.facts.seed, self.step, zlib.crc32(purpose.encode())])


@dataclass(frozen=True)
class Mixture:
    """A mixer's decision."""

    proportions: FloatArray
    """Share of the loss tokens to draw from each domain."""
    loss_weights: FloatArray | None = None
    """How much each domain counts in the loss, up to a common scale; None: every token alike."""
    mass: Literal["token", "domain"] = "token"
    """What a loss weight multiplies: a domain's tokens or its mean loss in the step."""


@dataclass(frozen=True)
class StepLosses:
    """What the training forward of one optimizer step showed, over all its micro-batches and ranks."""

    loss_sums: FloatArray
    """Sum of the token losses of each domain, in nats."""
    loss_tokens: IntArray
    samples: IntArray
    proportions: FloatArray
    """Shares of the loss tokens that the step was drawn with."""
    excess: FloatArray | None = None
    """Sum over each domain's tokens of the excess loss, that over the reference model's, and of its positive
    part; shape ``(domains, 2)``, None unless ``reference_model`` is needed."""
    router_counts: FloatArray | None = None
    """Tokens of each domain that each expert got, shape ``(domains, layers, experts)``; None unless
    ``router_counts`` is needed."""


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


class Selector(Component, ABC):
    """Chooses the rows of the next phase."""

    kind = "select"

    def repeats_rows(self) -> bool:
        """Tell whether ``select`` may return a row more than once (then it may exceed the pool)."""
        return False

    @abstractmethod
    def select(self, context: Context, n: int) -> IntArray:
        """Return the ids of the rows to train on next.

        Args:
            context: the run at this step.
            n: rows of the phase.

        Returns:
            Up to ``n`` ids. Fewer are repeated, epoch after epoch, until the phase is full.
        """


class Mixer(Component, ABC):
    """Chooses from which domains the next samples come."""

    kind = "mix"

    def moves_rows(self) -> bool:
        """Tell whether updates change the proportions; if only loss weights change, rows are read ahead."""
        return True

    def observe(self, losses: StepLosses, step: int) -> None:
        """Take note of an optimizer step that was just trained. Called on every rank with equal values."""

    @abstractmethod
    def update(self, context: Context) -> Mixture:
        """Return the mixture from this step on."""

    def learned(self) -> FloatArray | None:
        """Return the proportions that a finished run offers to later ones (``proportions_from``).

        None, for most methods: the run was for its own model.
        """
        return None


class Weighter(Component, ABC):
    """Chooses how much each sample of an optimizer step counts.

    One that looks at each sample by itself (``by_sample``) costs no forward of its own under any
    accumulation. One that compares the samples of a step with each other needs all their losses first: with
    one micro-batch a step from the training forward itself, with several from a forward beforehand, without
    gradients and without dropout.
    """

    kind = "weight"
    needs = frozenset({"per_sample_loss"})

    mass: Literal["token", "sample"] = "token"
    """What a weight multiplies: a sample's tokens (equal weights give the stock loss) or its mean loss."""

    def by_sample(self) -> bool:
        """Tell whether a weight depends on nothing but its sample and what was known before the step.

        Then ``weights`` gets the samples of one micro-batch of one rank at a time, and their common scale is
        made one over the whole step by the trainer.
        """
        return False

    def relative(self) -> bool:
        """Tell whether weights matter up to a common scale only; else 1 is the weight of the stock loss."""
        return True

    def before_step(self, context: Context) -> None:
        """Measure what the next weights need; called on all ranks before the forward of a weighted step."""

    @abstractmethod
    def weights(self, losses: FloatArray, context: Context) -> FloatArray:
        """Return one non-negative weight a sample.

        Args:
            losses: mean loss a supervised token of every sample, shape ``(n,)``: of the step, over
                micro-batches and ranks, or of one micro-batch (see ``by_sample``); NaN where a sample has no
                supervised token.
            context: the run at this step; ``samples`` tells rows, domains and more.
        """

    def observe(self, losses: FloatArray, samples: Samples, step: int) -> None:
        """Take note of an optimizer step that was just trained, weighted or not.

        Called on every rank with the samples of all micro-batches and ranks, in their global order and
        without states; ``losses`` as in ``weights``.
        """
