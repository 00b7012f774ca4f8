"""LESS: selecting influential data for targeted instruction tuning.

Xia, Malladi, Gururangan, Arora, Chen (2024), arXiv 2402.04333. A training row's feature is the step that Adam
would take with its gradient; a validation row's is its gradient. A row's score is the mean cosine with the
validation rows of a subtask, summed over checkpoints with their learning rates, and the best of the subtasks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dataflex.engine.component import Context, Facts, FloatArray, IntArray, Need
from dataflex.errors import UserError
from dataflex.selectors._influence import InfluenceSelector
from dataflex.signals.checkpoints import mean_learning_rates
from dataflex.signals.features import GradientFeatures, Targets


class LessSelector(InfluenceSelector):
    """Take the rows whose Adam steps point along the validation set's gradients."""

    paper = "arXiv:2402.04333"

    checkpoints: list[str] = []
    """Checkpoints of a warm-up run, in their order: scores are summed over them with the mean learning rate
    that led to each, as in the paper. Empty: the model as it is at the update."""

    _at_checkpoints: FloatArray | None = None

    def requirements(self) -> frozenset[Need]:
        """Return what is to be measured, and where."""
        return super().requirements() | ({"saved_weights"} if self.checkpoints else set())

    def check(self, facts: Facts) -> None:
        """Refuse checkpoints that are not there."""
        super().check(facts)
        for folder in self.checkpoints:
            if not Path(folder).is_dir():
                raise UserError(f"checkpoints: no folder {folder}")

    def targets(self, context: Context, groups: IntArray, features: GradientFeatures) -> Targets:
        """Return the mean unit gradient of each subtask."""
        return context.signals.validation_targets(groups, features)

    def scores(self, context: Context) -> FloatArray:
        """Return each row's alignment with every subtask, over the checkpoints if any are given."""
        if not self.checkpoints:
            return super().scores(context)
        if self._at_checkpoints is None:
            self._at_checkpoints = self._measure_checkpoints(context)
        return self._at_checkpoints

    def _measure_checkpoints(self, context: Context) -> FloatArray:
        folders = [Path(folder) for folder in self.checkpoints]
        rates = mean_learning_rates(folders)
        context.notes["checkpoints"] = dict(zip(self.checkpoints, rates, strict=True))
        features, groups = self.features(context), self.groups(context)
        total: FloatArray | float = 0.0
        for folder, rate in zip(folders, rates, strict=True):
            with context.signals.at_checkpoint(folder) as signals:
                targets = signals.validation_targets(groups, features)
                self.note_targets(context, targets)
                total = total + rate / sum(rates) * signals.alignment(targets, features)
        return np.asarray(total)

    def state_dict(self) -> dict[str, Any]:
        """Return the scores at fixed checkpoints, which are measured once."""
        return {} if self._at_checkpoints is None else {"at_checkpoints": self._at_checkpoints}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        self._at_checkpoints = state.get("at_checkpoints")
