"""What a checkpoint must hold of the data side: JSON for numbers, safetensors for the selected rows.

The part of the model, optimizer, scheduler and random states is the trainer's own. Nothing here is a
pickle, so that a checkpoint from elsewhere can be read safely.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from dataflex.engine.component import Facts
from dataflex.engine.conductor import Conductor
from dataflex.errors import UserError

FOLDER = "dataflex"
_SCHEMA = 1


def is_complete(checkpoint: Path) -> bool:
    """Tell whether a checkpoint holds both the trainer's last file and the data side."""
    return (checkpoint / "trainer_state.json").is_file() and (checkpoint / FOLDER / "state.json").is_file()


def save(conductor: Conductor, checkpoint: Path) -> None:
    """Write the data side into a checkpoint folder; its ``state.json`` comes last."""
    folder = checkpoint / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    if conductor.pool is not None:
        save_file({"pool": torch.from_numpy(conductor.pool)}, folder / "pool.safetensors")
    state = {
        "schema": _SCHEMA,
        "identity": _identity(conductor.facts),
        "order": conductor.order.state_dict(),
        "selected": conductor.pool is not None,
        "proportions": conductor.proportions.tolist(),
        "ledger": conductor.ledger.state_dict(),
        "plan_log_lines": conductor.plan_log.lines,
        "ledger_log_lines": conductor.ledger_log.lines,
        "components": {kind: d.component.state_dict() for kind, d in conductor.decisions.items()},
    }
    temporary = folder / "state.json.tmp"
    temporary.write_text(json.dumps(state))
    temporary.replace(folder / "state.json")


def load(conductor: Conductor, checkpoint: Path) -> None:
    """Restore the data side from a checkpoint folder and rewind the journals to it.

    Raises:
        UserError: the checkpoint belongs to other data, another seed or another batch size.
    """
    folder = checkpoint / FOLDER
    if not (folder / "state.json").is_file():
        raise UserError(f"{checkpoint} was not saved by a dynamic run: it lacks {FOLDER}/state.json")
    state = json.loads((folder / "state.json").read_text())
    identity = _identity(conductor.facts)
    for key, saved in state["identity"].items():
        if identity.get(key) != saved:
            raise UserError(
                f"{checkpoint} was made with {key} {saved}, this run has {identity.get(key)}: "
                "change it back, or set overwrite_output_dir: true to start anew"
            )
    conductor.pool = load_file(folder / "pool.safetensors")["pool"].numpy() if state["selected"] else None
    conductor.proportions[:] = state["proportions"]
    conductor.order.load_state_dict(state["order"], conductor.strata())
    conductor.ledger.load_state_dict(state["ledger"])
    for kind, decision in conductor.decisions.items():
        decision.component.load_state_dict(state["components"][kind])
    conductor.plan_log.rewind(state["plan_log_lines"])
    conductor.ledger_log.rewind(state["ledger_log_lines"])


def _identity(facts: Facts) -> dict[str, Any]:
    return {
        "domains": list(facts.domains),
        "rows": facts.rows.tolist(),
        "loss_tokens": facts.loss_tokens.tolist(),
        "seed": facts.seed,
        "batch_rows": facts.batch_rows,
    }
