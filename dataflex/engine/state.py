"""What a checkpoint must hold of the data side: JSON for numbers, safetensors for arrays.

The part of the model, optimizer, scheduler and random states is the trainer's own. Nothing here is a
pickle, so that a checkpoint from elsewhere can be read safely.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from dataflex.engine.checkpoints import FOLDER
from dataflex.engine.conductor import Conductor
from dataflex.engine.decision import Decision
from dataflex.engine.facts import Facts
from dataflex.engine.recipe import Recipe
from dataflex.engine.schedule import Kind
from dataflex.errors import UserError

_SCHEMA = 1


def save(conductor: Conductor, checkpoint: Path, logging: dict[str, Any]) -> None:
    """Write the data side into a checkpoint folder.

    Args:
        conductor: the data side.
        checkpoint: the folder; made if need be.
        logging: sums of the trainer's log that it does not save itself, as JSON types.
    """
    folder = checkpoint / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    recipe = conductor.recipe
    if recipe.pool is not None:
        save_file({"pool": torch.from_numpy(recipe.pool)}, folder / "pool.safetensors")
    learned = {kind: decision.component.state_dict() for kind, decision in conductor.decisions.items()}
    arrays = {
        f"{kind}/{key}": torch.from_numpy(np.ascontiguousarray(value))
        for kind, values in learned.items()
        for key, value in values.items()
        if isinstance(value, np.ndarray)
    }
    save_file(arrays, folder / "components.safetensors")
    state = {
        "schema": _SCHEMA,
        "identity": _identity(conductor.facts, conductor.decisions),
        "order": conductor.order.state_dict(),
        "selected": recipe.pool is not None,
        "proportions": recipe.proportions.tolist(),
        "loss_weights": None if recipe.loss_weights is None else recipe.loss_weights.tolist(),
        "mass": recipe.mass,
        "ledger": conductor.ledger.state_dict(),
        "plan_log_lines": conductor.plan_log.lines,
        "ledger_log_lines": conductor.ledger_log.lines,
        "components": {
            kind: {key: value for key, value in values.items() if f"{kind}/{key}" not in arrays}
            for kind, values in learned.items()
        },
        "logging": logging,
    }
    (folder / "state.json").write_text(json.dumps(state))


def refuse_other_run(checkpoint: Path, facts: Facts, decisions: dict[Kind, Decision]) -> None:
    """Refuse to go on from the checkpoint of another run; nothing is loaded or written.

    Raises:
        UserError: it was made with other data, another seed, batch, length, component or schedule.
    """
    saved = _read(checkpoint)["identity"]
    present = json.loads(json.dumps(_identity(facts, decisions)))
    for key in saved | present:
        if saved.get(key) != present.get(key):
            raise UserError(
                f"{checkpoint} was made with {key} {saved.get(key)}, this run has {present.get(key)}: "
                "change it back, choose another output_dir, or set overwrite_output_dir: true to start anew"
            )


def load(conductor: Conductor, checkpoint: Path) -> dict[str, Any]:
    """Restore the data side from a checkpoint folder and rewind the journals to it.

    Returns:
        The sums of the trainer's log that were saved with it.

    Raises:
        UserError: see ``refuse_other_run``.
    """
    refuse_other_run(checkpoint, conductor.facts, conductor.decisions)
    state = _read(checkpoint)
    pool = checkpoint / FOLDER / "pool.safetensors"
    conductor.recipe = Recipe(
        proportions=np.array(state["proportions"], np.float64),
        pool=load_file(pool)["pool"].numpy() if state["selected"] else None,
        loss_weights=None if state["loss_weights"] is None else np.array(state["loss_weights"], np.float64),
        mass=state["mass"],
    )
    # Made from the recipe, which therefore comes first.
    conductor.order.load_state_dict(state["order"], conductor.strata())
    conductor.ledger.load_state_dict(state["ledger"])
    arrays = load_file(checkpoint / FOLDER / "components.safetensors")
    for kind, decision in conductor.decisions.items():
        own = {
            key.removeprefix(f"{kind}/"): a.numpy() for key, a in arrays.items() if key.startswith(f"{kind}/")
        }
        decision.component.load_state_dict(state["components"][kind] | own)
    conductor.plan_log.rewind(state["plan_log_lines"])
    conductor.ledger_log.rewind(state["ledger_log_lines"])
    return dict(state["logging"])


def _read(checkpoint: Path) -> dict[str, Any]:
    file = checkpoint / FOLDER / "state.json"
    if not file.is_file():
        raise UserError(f"{checkpoint} was not saved by a dynamic run: it lacks {FOLDER}/state.json")
    return dict(json.loads(file.read_text()))


def _identity(facts: Facts, decisions: dict[Kind, Decision]) -> dict[str, Any]:
    return {
        "domains": list(facts.domains),
        "rows": facts.rows.tolist(),
        "loss_tokens": facts.loss_tokens.tolist(),
        "initial proportions": facts.proportions.tolist(),
        "seed": facts.seed,
        "batch_rows": facts.batch_rows,
        "total_steps": facts.total_steps,
        "validation rows": facts.validation.rows if facts.validation else None,
        **{kind: decision.as_dict() for kind, decision in decisions.items()},
    }
