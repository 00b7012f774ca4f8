"""The predicted memory of a run beside what PyTorch hands out in it, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from laptop.allocated import peak_allocated

FEW = {"max_samples": 24, "warmup_step": 2, "update_step": 2, "update_times": 1, "train_step": 4}
"""Steps and rows: every piece of memory that comes and goes is noted."""


def compare(folder: Path, config: dict[str, Any]) -> dict[str, int]:
    """Return the bytes that are predicted for a run's peak, and what its tensors take in a few steps.

    Args:
        folder: for the run; made.
        config: of the run; most of its steps are left out.
    """
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config | FEW | {"save_strategy": "no"}))
    command = [sys.executable, "-m", "laptop.memory", "config.json", "answer.json"]
    paths = [str(Path(__file__).parents[1]), *filter(None, sys.path)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1"}
    with (folder / "log.txt").open("w") as log:
        subprocess.run(command, cwd=folder, env=env, stdout=log, stderr=log, check=True)
    return dict(json.loads((folder / "answer.json").read_text()))


def _measure(config: dict[str, Any]) -> dict[str, int]:
    from dataflex.host.memory import predict_memory
    from dataflex.host.prepare import check, prepare
    from dataflex.host.train import train

    predicted = predict_memory(prepare(check(config, planned_ranks=1)))
    return {
        "predicted": max(predicted.training, predicted.selection or 0),
        "measured": peak_allocated(lambda: train(check(config))),
    }


if __name__ == "__main__":
    request, answer = map(Path, sys.argv[1:])
    answer.write_text(json.dumps(_measure(json.loads(request.read_text()))))
