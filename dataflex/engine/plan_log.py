"""The plan log: one line a decision, and the rows of each selection in a file beside it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from dataflex.arrays import FloatArray, IntArray
from dataflex.engine.facts import Facts
from dataflex.engine.journal import Journal
from dataflex.engine.recipe import Recipe
from dataflex.engine.schedule import Kind


class PlanLog(Journal):
    """``plan_log.jsonl`` and the folder ``selections`` of a run.

    Args:
        run_dir: where they are written; None on ranks that do not write.
        facts: of the run.
    """

    def __init__(self, run_dir: Path | None, facts: Facts) -> None:
        super().__init__(run_dir / "plan_log.jsonl" if run_dir else None)
        self._selections = run_dir / "selections" if run_dir else None
        self._facts = facts

    def mixture(self, step: int, component: str, recipe: Recipe, notes: dict[str, Any]) -> None:
        """Note the proportions, and loss weights if there are any, from ``step`` on."""
        record = {"proportions": self._facts.by_domain(recipe.proportions)}
        if recipe.loss_weights is not None:
            record["loss_weights"] = self._facts.by_domain(recipe.loss_weights)
        self._decided(step, "mix", component, **record, **notes)

    def warmup(self, step: int) -> None:
        """Note that a new cycle begins at ``step``, with all rows."""
        self._decided(step, "select", "warmup", rows=self._facts.total_rows)

    def selection(
        self, step: int, component: str, update: int, asked: int, ids: IntArray, notes: dict[str, Any]
    ) -> None:
        """Note a selection.

        Args:
            step: from which on it is trained.
            component: the selector's name.
            update: index of the selection, from 0.
            asked: rows of the phase.
            ids: rows that were selected.
            notes: see ``Context.notes``; arrays are summarised in the line and kept in files.
        """
        by_domain = np.bincount(self._facts.domain_of(ids), minlength=len(self._facts.domains))
        record: dict[str, Any] = {
            "update": update,
            "asked": asked,
            "rows": len(ids),
            "distinct": len(np.unique(ids)),
            "pool": self._facts.total_rows,
            "by_domain": self._facts.by_domain(by_domain),
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
        self._decided(step, "select", component, **record)

    def weights(self, step: int, component: str, weights: FloatArray) -> None:
        """Note the spread of the weights of a step's samples, shape ``(samples,)``, over their mean.

        Absolute weights may all be zero; so is then all that is noted of them.
        """
        some = weights.any()
        relative = weights / weights.mean() if some else weights
        self._decided(
            step,
            "weight",
            component,
            samples=len(weights),
            weight_min=float(relative.min()),
            weight_max=float(relative.max()),
            effective_samples=float(weights.sum() ** 2 / (weights**2).sum()) if some else 0.0,
        )

    def _decided(self, step: int, decision: Kind, component: str, **what: Any) -> None:
        self.append({"step": step, "decision": decision, "component": component, **what})


def _summary(values: FloatArray, selected: IntArray) -> dict[str, Any]:
    """Summarise one value a row of the pool, and of the selected rows."""
    finite = np.isfinite(values)
    chosen = values[selected][finite[selected]]
    return {
        "selected": float(chosen.mean()) if len(chosen) else None,
        "pool": float(values[finite].mean()) if finite.any() else None,
        "missing": int((~finite).sum()),
    }
