"""Asks the components when their time has come and keeps what they decided.

The conductor knows steps, rows and domains, but neither the trainer nor the model: what a decision wants
measured is handed in. Everything it holds is restored from a checkpoint by ``state``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dataflex.arrays import FloatArray, IntArray
from dataflex.collectives import agreed, from_first_rank
from dataflex.engine import answers
from dataflex.engine.base import Need
from dataflex.engine.decision import Decision
from dataflex.engine.divergence import diverged
from dataflex.engine.factors import loss_factors
from dataflex.engine.facts import Facts
from dataflex.engine.ledger import Ledger, NotFiniteError
from dataflex.engine.ledger_log import LedgerLog
from dataflex.engine.mixer import Mixer
from dataflex.engine.order import Order
from dataflex.engine.plan_log import PlanLog
from dataflex.engine.proportions import row_shares
from dataflex.engine.recipe import Recipe
from dataflex.engine.schedule import Kind
from dataflex.engine.selector import Selector
from dataflex.engine.signals import Signals
from dataflex.errors import Interrupted, UserError


class Conductor:
    """The data side of a dynamic run.

    Of each step, in this order: ``begin_step``, ``rows_of_step`` and ``domain_factors`` as often as wanted,
    ``end_step``.

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
        self.recipe = Recipe(np.array(facts.proportions))
        self.order = Order(facts.seed)
        self.ledger = Ledger(len(facts.domains))
        self.plan_log = PlanLog(run_dir, facts)
        self.ledger_log = LedgerLog(run_dir, facts)

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

        Raises:
            UserError: a component can't decide; the conductor is then as it was before the call.
            Interrupted: the run has to stop; the same.
        """
        due = any(kind != "weight" and d.schedule.decides_at(step) for kind, d in self.decisions.items())
        undo = self._undo() if due else None
        try:
            return self._decide(step, signals)
        except (UserError, Interrupted):
            # The checkpoint that is saved now must not know of decisions that will be made again.
            if undo is not None:
                undo()
            raise

    def _undo(self) -> Callable[[], None]:
        """Return what puts recipe, plan log and components back to where they are now."""
        recipe, lines = self.recipe, self.plan_log.lines
        learned = {kind: copy.deepcopy(d.component.state_dict()) for kind, d in self.decisions.items()}

        def undo() -> None:
            self.recipe = recipe
            self.plan_log.rewind(lines)
            for kind, state in learned.items():
                self.decisions[kind].component.load_state_dict(state)

        return undo

    def _decide(self, step: int, signals: Signals) -> bool:
        first = self.order.segment is None
        if first and self.mixes:
            self.plan_log.mixture(step, "initial", self.recipe, {})
        new_pool = self._select(step, signals) or first
        new_mixture = self._mix(step, signals)
        if new_pool or new_mixture:
            strata = self.strata()
            self.order.begin(
                position=step * self.facts.batch_rows,
                horizon=self.next_change(step) * self.facts.batch_rows,
                shares=self._row_shares(strata),
                strata=strata if new_pool else None,
            )
        return new_pool or new_mixture

    def _select(self, step: int, signals: Signals) -> bool:
        """Select if it is due, and tell whether the pool has changed."""
        decision = self.decisions.get("select")
        if decision is None:
            return False
        if not decision.schedule.decides_at(step):
            if step and decision.schedule.restarts_at(step):
                self.recipe = replace(self.recipe, pool=None)
                self.plan_log.warmup(step)
                return True
            return False
        selector = decision.component
        assert isinstance(selector, Selector)
        phase = decision.schedule.phase_at(step)
        asked = phase.steps * self.facts.batch_rows
        context = decision.context(self.facts, step, signals)

        def chosen() -> IntArray:
            answer = selector.select(context, asked)
            return answers.selected_rows(answer, decision.name, selector, asked, self.facts)

        ids = agreed(chosen)
        ids = from_first_rank(torch.from_numpy(ids)).numpy()
        self.recipe = replace(self.recipe, pool=ids)
        if "per_sample_loss" in selector.requirements():
            context.notes.setdefault("losses", signals.losses())
        self.plan_log.selection(step, decision.name, phase.update, asked, ids, context.notes)
        return True

    def _mix(self, step: int, signals: Signals) -> bool:
        """Mix if it is due, and tell whether rows have to be drawn anew."""
        decision = self.decisions.get("mix")
        if decision is None or not decision.schedule.decides_at(step):
            return False
        mixer = decision.component
        assert isinstance(mixer, Mixer)
        context = decision.context(self.facts, step, signals)
        mixture = agreed(lambda: mixer.update(context))
        before = self.recipe.proportions
        proportions = self._one_for_each_domain(decision, mixture.proportions, "proportions")
        loss_weights = None
        if mixture.loss_weights is not None:
            loss_weights = self._one_for_each_domain(decision, mixture.loss_weights, "loss weights")
        self.recipe = replace(
            self.recipe,
            proportions=proportions / proportions.sum(),
            loss_weights=loss_weights,
            mass=mixture.mass,
        )
        self.plan_log.mixture(step, decision.name, self.recipe, context.notes)
        if mixer.moves_rows():
            return True
        if not np.array_equal(before, self.recipe.proportions) and context.update > 0:
            raise ValueError(f"mixer {decision.name!r} changed the proportions that moves_rows denies")
        return context.update == 0

    def _one_for_each_domain(self, decision: Decision, answer: Any, what: str) -> FloatArray:
        values = answers.domain_values(answer, decision.name, what, len(self.facts.domains))
        return from_first_rank(torch.from_numpy(values)).numpy()

    def strata(self) -> list[IntArray | range]:
        """Return the groups of row ids that the present pool is drawn from."""
        return self.recipe.rows_by_domain(self.facts) if self.mixes else [self.recipe.rows(self.facts)]

    def _row_shares(self, strata: list[IntArray | range]) -> FloatArray:
        if not self.mixes:
            return np.ones(1)
        if self.recipe.pool is None:
            tokens = self.facts.loss_tokens
        else:
            tokens = np.array([self.row_tokens[rows].sum() for rows in strata], np.int64)
        rows = np.array([len(rows) for rows in strata], np.int64)
        return row_shares(self.recipe.proportions, tokens, rows)

    def next_change(self, step: int) -> int:
        """Return the first step after ``step`` at which rows may come in another order."""
        movers = [self.decisions[kind] for kind in ("select", "mix") if kind in self.decisions]
        return min([self.facts.total_steps, *(decision.next_row_change(step) for decision in movers)])

    def rows_of_step(self, step: int) -> IntArray:
        """Return the row ids of an optimizer step, over micro-batches and ranks; shape ``(batch_rows,)``."""
        return self.order.rows(step * self.facts.batch_rows, self.facts.batch_rows)

    def domain_factors(self, step: int) -> FloatArray | None:
        """Return the factor of each domain's summed token losses in a step; None: all are one."""
        if self.recipe.loss_weights is None:
            return None
        rows = self.rows_of_step(step)
        tokens = np.bincount(
            self.facts.domain_of(rows),
            self.row_tokens[rows].astype(np.float64),
            minlength=len(self.facts.domains),
        ).astype(np.float64)
        return loss_factors(self.recipe.loss_weights, tokens, of_means=self.recipe.mass == "domain")

    def end_step(self, step: int) -> None:
        """Close the ledger's step and show it to the mixer. ``step`` is the one just trained.

        Raises:
            UserError: its loss is not finite, on all ranks; neither mixer nor logs have seen it.
        """
        try:
            losses = self.ledger.close_step(self.recipe.proportions, asked=self.mixes)
        except NotFiniteError as error:
            domains = [self.facts.domains[index] for index in error.domains]
            raise diverged(step, domains, error.ranks) from None
        mix = self.decisions.get("mix")
        if mix is not None:
            assert isinstance(mix.component, Mixer)
            mix.component.observe(losses, step)

    def log_interval(self, step: int) -> None:
        """Write the ledger of the steps since the last call; ``step`` are trained by now."""
        self.ledger_log.interval(step, self.ledger, asked=self.mixes)

    def learned_proportions(self) -> dict[str, float] | None:
        """Return what the mixer has learned for later runs, by domain; None when it has nothing to tell."""
        decision = self.decisions.get("mix")
        if decision is None:
            return None
        assert isinstance(decision.component, Mixer)
        learned = decision.component.learned()
        if learned is None:
            return None
        return self.facts.by_domain(self._one_for_each_domain(decision, learned, "learned proportions"))
