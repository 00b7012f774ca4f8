"""Asks the components when their time has come and keeps what they decided.

The conductor knows steps, rows and domains, but neither the trainer nor the model: what a decision wants
measured is handed in as a function. Everything it holds is restored from a checkpoint by ``state``.
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from dataflex.collectives import agreed, from_first_rank
from dataflex.engine.component import (
    Component,
    Context,
    Facts,
    FloatArray,
    IntArray,
    Mixer,
    Need,
    Samples,
    Selector,
    Signals,
    Weighter,
)
from dataflex.engine.journal import Journal
from dataflex.engine.ledger import Ledger, NotFiniteError
from dataflex.engine.order import Order
from dataflex.engine.proportions import row_shares
from dataflex.engine.schedule import Kind, Schedule
from dataflex.engine.weighting import loss_factors
from dataflex.errors import UserError


@dataclass(frozen=True)
class Decision:
    """A component with its name and its schedule."""

    name: str
    component: Component
    schedule: Schedule

    def as_dict(self) -> dict[str, Any]:
        """Return what decides, as JSON types: component, every parameter and the schedule."""
        return {
            "component": self.name,
            "params": self.component.model_dump(mode="json"),
            "warmup_step": self.schedule.warmup_step,
            "update_step": self.schedule.update_step,
            "update_times": self.schedule.update_times,
        }


class Conductor:
    """The data side of a dynamic run.

    Args:
        facts: the run.
        decisions: at most one of each kind.
        row_tokens: supervised tokens of each row, shape ``(rows,)``.
        run_dir: where plan log, ledger and selections are written; ``None`` on ranks that do not write.
    """

    def __init__(
        self, facts: Facts, decisions: dict[Kind, Decision], row_tokens: IntArray, run_dir: Path | None
    ) -> None:
        self.facts = facts
        self.decisions = decisions
        self.row_tokens = row_tokens
        self.order = Order(facts.seed)
        self.ledger = Ledger(len(facts.domains))
        self.pool: IntArray | None = None
        """Selected row ids; ``None``: all rows."""
        self.proportions = np.array(facts.proportions)
        """Present shares of the loss tokens; they matter when a mixer decides."""
        self.loss_weights: FloatArray | None = None
        """What each domain counts in the loss; None: every token alike."""
        self.mass: Literal["token", "domain"] = "token"
        self.plan_log = Journal(run_dir / "plan_log.jsonl" if run_dir else None)
        self.ledger_log = Journal(run_dir / "ledger.jsonl" if run_dir else None)
        self._selections = run_dir / "selections" if run_dir else None

    @property
    def mixes(self) -> bool:
        """Whether rows are drawn by domain."""
        return "mix" in self.decisions

    def needs(self, what: Need) -> bool:
        """Tell whether a component of the run needs something."""
        return any(what in decision.component.requirements() for decision in self.decisions.values())

    def start(self) -> None:
        """Begin a new run: empty journals."""
        self.plan_log.start()
        self.ledger_log.start()

    def begin_step(self, step: int, signals: Signals) -> bool:
        """Make the decisions that are due before ``step`` and tell whether the order of rows has changed.

        Args:
            step: optimizer step that is about to be trained.
            signals: measure with the model as it is now; they keep what they measured for this step.
        """
        due = any(kind != "weight" and d.schedule.decides_at(step) for kind, d in self.decisions.items())
        before = self._snapshot() if due else None
        try:
            return self._decide(step, signals)
        except UserError:
            # The checkpoint that is saved now must not know of decisions that will be made again.
            if before is not None:
                self._restore(*before)
            raise

    def _snapshot(self) -> tuple[Any, ...]:
        learned = {kind: copy.deepcopy(d.component.state_dict()) for kind, d in self.decisions.items()}
        return (
            (self.pool, self.proportions, self.loss_weights, self.mass),
            self.plan_log.lines,
            learned,
        )

    def _restore(self, decided: tuple[Any, ...], lines: int, learned: dict[Kind, dict[str, Any]]) -> None:
        self.pool, self.proportions, self.loss_weights, self.mass = decided
        self.plan_log.rewind(lines)
        for kind, state in learned.items():
            self.decisions[kind].component.load_state_dict(state)

    def _decide(self, step: int, signals: Signals) -> bool:
        first = self.order.segment is None
        if first and self.mixes:
            self._log_mixture(step, "initial")
        new_pool = self._select(step, signals) or first
        new_mixture = self._mix(step, signals)
        if new_pool or new_mixture:
            strata = self.strata()
            self.order.begin(
                position=step * self.facts.batch_rows,
                horizon=self.next_change(step) * self.facts.batch_rows,
                shares=self._shares(strata),
                strata=strata if new_pool else None,
            )
        return new_pool or new_mixture

    def _select(self, step: int, signals: Signals) -> bool:
        decision = self.decisions.get("select")
        if decision is None:
            return False
        if not decision.schedule.decides_at(step):
            if step and decision.schedule.restarts_at(step):
                self.pool = None
                self._log(step, "select", "warmup", rows=self.facts.total_rows)
                return True
            return False
        selector = decision.component
        assert isinstance(selector, Selector)
        phase = decision.schedule.phase_at(step)
        asked = phase.steps * self.facts.batch_rows
        context = self._context(decision, step, signals)
        ids = np.asarray(agreed(lambda: selector.select(context, asked)))
        self._check_selection(decision, ids, asked)
        self.pool = from_first_rank(torch.from_numpy(ids.astype(np.int64))).numpy()
        if "per_sample_loss" in selector.requirements():
            context.notes.setdefault("losses", signals.losses())
        self._log_selection(step, decision.name, phase.update, asked, context.notes)
        return True

    def _check_selection(self, decision: Decision, ids: Any, asked: int) -> None:
        name, selector = decision.name, decision.component
        assert isinstance(selector, Selector)
        if not ids.size:
            raise UserError(
                f"selector {name!r} found no row with a finite score: training may have diverged, lower "
                "learning_rate"
            )
        if not (ids.ndim == 1 and len(ids) <= asked and np.issubdtype(ids.dtype, np.integer)):
            raise ValueError(
                f"selector {name!r} must return 1 to {asked} row ids in one dimension, "
                f"not shape {ids.shape} of {ids.dtype}"
            )
        if ids.min() < 0 or ids.max() >= self.facts.total_rows:
            raise ValueError(f"selector {name!r} returned an id outside of 0..{self.facts.total_rows - 1}")
        if not selector.repeats_rows() and len(np.unique(ids)) < len(ids):
            raise ValueError(f"selector {name!r} returned a row twice, which repeats_rows does not announce")

    def _mix(self, step: int, signals: Signals) -> bool:
        decision = self.decisions.get("mix")
        if decision is None or not decision.schedule.decides_at(step):
            return False
        mixer = decision.component
        assert isinstance(mixer, Mixer)
        context = self._context(decision, step, signals)
        mixture = agreed(lambda: mixer.update(context))
        before = self.proportions
        self.proportions = self._one_for_each_domain(decision, mixture.proportions, "proportions")
        self.proportions /= self.proportions.sum()
        self.mass, self.loss_weights = mixture.mass, None
        if mixture.loss_weights is not None:
            self.loss_weights = self._one_for_each_domain(decision, mixture.loss_weights, "loss weights")
        self._log_mixture(step, decision.name, context.notes)
        if mixer.moves_rows():
            return True
        if not np.array_equal(before, self.proportions) and context.update > 0:
            raise ValueError(f"mixer {decision.name!r} changed the proportions that moves_rows denies")
        return context.update == 0

    def _one_for_each_domain(self, decision: Decision, values: FloatArray, what: str) -> FloatArray:
        given = np.asarray(values, np.float64)
        if given.shape != self.proportions.shape or not np.isfinite(given).all() or (given < 0).any():
            raise ValueError(f"mixer {decision.name!r} returned {given}, which are not {what}")
        if given.sum() <= 0:
            raise ValueError(f"mixer {decision.name!r} returned {what} that are all zero")
        return from_first_rank(torch.from_numpy(given.copy())).numpy()

    def domain_factors(self, step: int) -> FloatArray | None:
        """Return the factor of each domain's summed token losses in a step; None: all are one."""
        if self.loss_weights is None:
            return None
        rows = self.rows_of_step(step)
        tokens = np.bincount(
            self.facts.domain_of(rows),
            self.row_tokens[rows].astype(np.float64),
            minlength=len(self.facts.domains),
        ).astype(np.float64)
        return loss_factors(self.loss_weights, tokens, of_means=self.mass == "domain")

    @property
    def observes_samples(self) -> bool:
        """Whether a weighter wants to see samples that it has not weighed."""
        decision = self.decisions.get("weight")
        if decision is None:
            return False
        assert isinstance(decision.component, Weighter)
        return type(decision.component).observe is not Weighter.observe

    def weighter_at(self, step: int) -> Weighter | None:
        """Return what weighs the samples of a step, if anything does."""
        decision = self.decisions.get("weight")
        if decision is None or not decision.schedule.decides_at(step):
            return None
        assert isinstance(decision.component, Weighter)
        return decision.component

    def before_weights(self, step: int, signals: Signals) -> None:
        """Let the weighter measure what it needs before the forward of a step that it weighs."""
        decision = self.decisions["weight"]
        assert isinstance(decision.component, Weighter)
        decision.component.before_step(self._context(decision, step, signals))

    def weights(self, step: int, losses: FloatArray, samples: Samples, signals: Signals) -> FloatArray:
        """Return the weighter's weights; see ``Weighter.weights``."""
        decision = self.decisions["weight"]
        assert isinstance(decision.component, Weighter)
        context = replace(self._context(decision, step, signals), samples=samples)
        weights = np.asarray(decision.component.weights(losses, context), np.float64)
        if weights.shape != losses.shape:
            raise ValueError(
                f"weighter {decision.name!r} returned weights of shape {weights.shape}, not {losses.shape}"
            )
        return weights

    def after_weights(
        self, step: int, losses: FloatArray, samples: Samples, weights: FloatArray | None
    ) -> None:
        """Show the samples of a step to the weighter, and log their weights if it had any."""
        decision = self.decisions["weight"]
        assert isinstance(decision.component, Weighter)
        decision.component.observe(losses, samples, step)
        if weights is None:
            return
        relative = weights / weights.mean()
        self._log(
            step,
            "weight",
            decision.name,
            samples=len(weights),
            weight_min=float(relative.min()),
            weight_max=float(relative.max()),
            effective_samples=float(weights.sum() ** 2 / (weights**2).sum()),
        )

    def next_change(self, step: int) -> int:
        """Return the first step after ``step`` at which rows may come in another order."""
        stops = [self.facts.total_steps]
        for kind in ("select", "mix"):
            if kind in self.decisions:
                stops.append(self._row_change(self.decisions[kind], step))
        return min(stops)

    @staticmethod
    def _row_change(decision: Decision, step: int) -> int:
        """Return the first step after ``step`` at which this decision may move rows."""
        phase = decision.schedule.phase_at(step)
        steady = isinstance(decision.component, Mixer) and not decision.component.moves_rows()
        return decision.schedule.total_steps if steady and phase.name == "update" else phase.stop

    def rows_of_step(self, step: int) -> IntArray:
        """Return the row ids of an optimizer step, over micro-batches and ranks."""
        return self.order.rows(step * self.facts.batch_rows, self.facts.batch_rows)

    def end_step(self, step: int) -> None:
        """Close the ledger's step and show it to the mixer. ``step`` is the one just trained.

        Raises:
            UserError: on all ranks; a loss of the step was not finite.
        """
        try:
            losses = self.ledger.close_step(self.proportions, asked=self.mixes)
        except NotFiniteError as error:
            domains = ", ".join(self.facts.domains[index] for index in error.domains)
            raise UserError(
                f"the loss at step {step} is not finite in domain {domains} (rank "
                f"{', '.join(map(str, error.ranks))}): lower learning_rate, set max_grad_norm, or use bf16 "
                "instead of fp16; then go on from the last checkpoint, which is from before"
            ) from None
        mix = self.decisions.get("mix")
        if mix is not None:
            assert isinstance(mix.component, Mixer)
            mix.component.observe(losses, step)

    def learned_proportions(self) -> dict[str, float] | None:
        """Return what the mixer has learned for later runs, by domain; None when it has nothing to tell."""
        decision = self.decisions.get("mix")
        if decision is None:
            return None
        assert isinstance(decision.component, Mixer)
        learned = decision.component.learned()
        if learned is None:
            return None
        return self._by_name(self._one_for_each_domain(decision, learned, "learned proportions"))

    def log_interval(self, step: int) -> None:
        """Write the ledger of the steps since the last call, one line a domain; nothing without steps."""
        loss_sums, tokens, samples, asked = self.ledger.close_interval()
        if not samples.any():
            return
        for index, domain in enumerate(self.facts.domains):
            self.ledger_log.append(
                {
                    "step": step,
                    "domain": domain,
                    "loss": float(loss_sums[index] / tokens[index]) if tokens[index] else None,
                    "loss_tokens": int(tokens[index]),
                    "samples": int(samples[index]),
                    "share_asked": float(asked[index] / tokens.sum()) if self.mixes else None,
                    "share_realised": float(tokens[index] / tokens.sum()) if tokens.sum() else None,
                    "total_loss_tokens": int(self.ledger.total_loss_tokens[index]),
                }
            )

    def strata(self) -> list[IntArray | range]:
        """Return the groups of row ids that the present pool is drawn from."""
        if not self.mixes:
            return [range(self.facts.total_rows) if self.pool is None else self.pool]
        ends = np.cumsum(self.facts.rows)
        if self.pool is None:
            return [range(int(end - rows), int(end)) for end, rows in zip(ends, self.facts.rows, strict=True)]
        domain = self.facts.domain_of(self.pool)
        return [self.pool[domain == index] for index in range(len(self.facts.domains))]

    def _shares(self, strata: list[IntArray | range]) -> FloatArray:
        if not self.mixes:
            return np.ones(1)
        if self.pool is None:
            tokens = self.facts.loss_tokens
        else:
            tokens = np.array([self.row_tokens[rows].sum() for rows in strata], np.int64)
        return row_shares(self.proportions, tokens, np.array([len(rows) for rows in strata], np.int64))

    def _context(self, decision: Decision, step: int, signals: Signals) -> Context:
        own_seed = decision.component.seed
        facts = self.facts if own_seed is None else replace(self.facts, seed=own_seed)
        schedule = decision.schedule
        return Context(facts, step, schedule.phase_at(step).update, signals, schedule.updates)

    def _log(self, step: int, decision: Kind, component: str, **what: Any) -> None:
        self.plan_log.append({"step": step, "decision": decision, "component": component, **what})

    def _log_mixture(self, step: int, component: str, notes: dict[str, Any] | None = None) -> None:
        record = {"proportions": self._by_name(self.proportions)}
        if self.loss_weights is not None:
            record["loss_weights"] = self._by_name(self.loss_weights)
        self._log(step, "mix", component, **record, **(notes or {}))

    def _by_name(self, values: FloatArray) -> dict[str, float]:
        return dict(zip(self.facts.domains, values.tolist(), strict=True))

    def _log_selection(
        self, step: int, component: str, update: int, asked: int, notes: dict[str, Any]
    ) -> None:
        ids = self.pool
        assert ids is not None
        by_domain = np.bincount(self.facts.domain_of(ids), minlength=len(self.facts.domains))
        record: dict[str, Any] = {
            "update": update,
            "asked": asked,
            "rows": len(ids),
            "distinct": len(np.unique(ids)),
            "pool": self.facts.total_rows,
            "by_domain": dict(zip(self.facts.domains, by_domain.tolist(), strict=True)),
            "sha256": hashlib.sha256(ids.tobytes()).hexdigest(),
        }
        values = {key: note for key, note in notes.items() if isinstance(note, np.ndarray)}
        for key, of_rows in values.items():
            record[key] = _summary(of_rows, ids)
        record |= {key: note for key, note in notes.items() if key not in values}
        if self._selections is not None:
            self._selections.mkdir(parents=True, exist_ok=True)
            file = self._selections / f"step-{step:06d}.npy"
            np.save(file, ids, allow_pickle=False)
            record["ids"] = f"{self._selections.name}/{file.name}"
            for key, of_rows in values.items():
                np.save(file.with_suffix(f".{key}.npy"), of_rows, allow_pickle=False)
        self._log(step, "select", component, **record)


def _summary(values: FloatArray, selected: IntArray) -> dict[str, Any]:
    """Summarise one value a row of the pool, and of the selected rows."""
    finite = np.isfinite(values)
    chosen = values[selected][finite[selected]]
    return {
        "selected": float(chosen.mean()) if len(chosen) else None,
        "pool": float(values[finite].mean()) if finite.any() else None,
        "missing": int((~finite).sum()),
    }
