"""The predicted memory of a run beside what its process takes: ``python -m laptop.memory CONFIG ANSWER``.

Small blocks apart, glibc is told to take memory from the system when it is asked for some and to give it back
when it is freed, so that the process's own peak is that of its tensors and of little else.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

IMPORTED = (
    "dataflex.engine.trainer",
    "dataflex.host.memory",
    "dataflex.host.train",
    "llamafactory.model",
    "llamafactory.train.sft.trainer",
    "peft",
)
"""Imported before anything is measured."""
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(2**20), "MALLOC_TRIM_THRESHOLD_": "0"}
FEW = {"max_samples": 24, "warmup_step": 2, "update_step": 2, "update_times": 1, "train_step": 4}
"""Steps and rows: memory that comes and goes by the page is slow."""


def compare(folder: Path, config: dict[str, Any]) -> dict[str, int]:
    """Return the bytes that are predicted for a run's peak, and what a run of a few steps really takes.

    Args:
        folder: for the run; made.
        config: of the run; most of its steps are left out.
    """
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config | FEW | {"save_strategy": "no"}))
    command = [sys.executable, "-m", "laptop.memory", "config.json", "answer.json"]
    paths = [str(Path(__file__).parents[1]), *filter(None, sys.path)]
    env = os.environ | ALLOCATOR | {"PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1"}
    with (folder / "log.txt").open("w") as log:
        subprocess.run(command, cwd=folder, env=env, stdout=log, stderr=log, check=True)
    return dict(json.loads((folder / "answer.json").read_text()))


def _measure(config: dict[str, Any]) -> dict[str, int]:
    for name in IMPORTED:
        import_module(name)
    from dataflex.host.memory import predict_memory
    from dataflex.host.prepare import check, prepare
    from dataflex.host.train import train

    predicted = predict_memory(prepare(check(config, planned_ranks=1)))
    checked = check(config)
    gc.collect()
    # From now on the peak counts anew.
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    train(checked)
    return {
        "predicted": max(predicted.training, predicted.selection or 0),
        "measured": _status("VmHWM") - before,
    }


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


if __name__ == "__main__":
    request, answer = map(Path, sys.argv[1:])
    answer.write_text(json.dumps(_measure(json.loads(request.read_text()))))
