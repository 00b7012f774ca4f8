"""A run that was killed, made from one that was not, and what it has to be equal to when it has gone on."""

import json
import shutil
from pathlib import Path

import torch

from .conftest import Run


def cut_after(whole: Run, step: int) -> Path:
    """Copy a finished run to a folder that looks as after a kill between this step's checkpoint and the next."""
    folder = whole.folder.with_name(f"{whole.folder.name}-cut")
    shutil.copytree(whole.folder, folder)
    interrupt(folder, step)
    return folder


def interrupt(folder: Path, step: int) -> None:
    """Leave of a finished run what a kill leaves: journals and later checkpoints reach beyond the last whole one."""
    for checkpoint in folder.glob("checkpoint-*"):
        if step_of(checkpoint) > step:
            (checkpoint / "trainer_state.json").unlink()
    for file in folder.glob("*.safetensors"):
        file.unlink()
    manifest = json.loads((folder / "manifest.json").read_text()) | {"status": "running"}
    manifest.pop("learned_proportions", None)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def assert_equal(resumed: Run, whole: Run) -> None:
    """Losses, logs, weights, what the mixer learned and the last checkpoint's data side, bit by bit."""
    assert resumed.losses == whole.losses
    for log in ("plan_log.jsonl", "ledger.jsonl"):
        assert resumed.lines(log) == whole.lines(log)
    for key, weight in whole.weights.items():
        assert torch.equal(resumed.weights[key], weight), key
    last = max(whole.folder.glob("checkpoint-*"), key=step_of).name
    state, other = (
        json.loads((run.folder / last / "dataflex/state.json").read_text()) for run in (resumed, whole)
    )
    assert state == other
    ours, theirs = (json.loads((run.folder / "manifest.json").read_text()) for run in (resumed, whole))
    assert ours["resumed"] == theirs["resumed"] + 1
    assert ours.get("learned_proportions") == theirs.get("learned_proportions")


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rsplit("-", 1)[1])
