"""One decision of a run: which component makes it, and at which steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from dataflex.engine.base import Component
from dataflex.engine.context import Context
from dataflex.engine.facts import Facts
from dataflex.engine.mixer import Mixer
from dataflex.engine.schedule import Schedule
from dataflex.engine.signals import Signals


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

    def context(self, facts: Facts, step: int, signals: Signals) -> Context:
        """Return what the component sees at a step; a seed of its own stands in for the run's."""
        own_seed = self.component.seed
        own_facts = facts if own_seed is None else replace(facts, seed=own_seed)
        return Context(own_facts, step, self.schedule.phase_at(step).update, signals, self.schedule.updates)

    def next_row_change(self, step: int) -> int:
        """Return the first step after ``step`` at which this decision may move rows."""
        phase = self.schedule.phase_at(step)
        steady = isinstance(self.component, Mixer) and not self.component.moves_rows()
        return self.schedule.total_steps if steady and phase.name == "update" else phase.stop
