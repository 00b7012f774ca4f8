"""Real LLaMA-Factory runs of a few steps, in this process or under torchrun."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from dataflex.host.prepare import check
from dataflex.host.train import train

SELECTION: dict[str, Any] = {
    "stage": "sft",
    "dataset": "sft",
    "eval_dataset": "target",
    "finetuning_type": "lora",
    "lora_rank": 2,
    "lora_dropout": 0.3,
    "cutoff_len": 64,
    "train_type": "dynamic_select",
    "warmup_step": 3,
    "update_step": 2,
    "update_times": 2,
    "num_train_epochs": 1,
}
"""Keys of a run that selects for a validation set of ten of the pool's rows, in two subtasks."""


class Run:
    """What a finished run left in its directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]

    @property
    def losses(self) -> list[float]:
        state = json.loads((self.folder / "trainer_state.json").read_text())
        return [float(entry["loss"]) for entry in state["log_history"] if "loss" in entry]

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        name = (
            "adapter_model.safetensors"
            if (self.folder / "adapter_config.json").is_file()
            else "model.safetensors"
        )
        return load_file(self.folder / name)


@pytest.fixture
def run(config: dict[str, Any]) -> Callable[..., Run]:
    """Train with changed keys in this process; every call gets a directory of its own unless told one."""
    calls = iter(range(100))

    def go(**changes: Any) -> Run:
        changed = config | {"output_dir": f"{config['output_dir']}-{next(calls)}"} | changes
        train(check(changed))
        return Run(Path(changed["output_dir"]))

    return go


@pytest.fixture
def torchrun(config: dict[str, Any], tmp_path: Path) -> Callable[..., Run]:
    """Train with changed keys on two processes, as a user would: through the command line."""

    def go(**changes: Any) -> Run:
        changed = config | {"output_dir": f"{config['output_dir']}-ranks"} | changes
        file = tmp_path / "ranks.yaml"
        file.write_text(yaml.safe_dump(changed))
        env = os.environ | {"FORCE_TORCHRUN": "1", "NPROC_PER_NODE": "2", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "dataflex.cli", "train", str(file)],
            env=env,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return Run(Path(changed["output_dir"]))

    return go
