"""A run goes on with another number of processes: the same rows in the same order, the same gradients."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ..host.conftest import Run
from ..host.test_gradient import DESCENT
from .conftest import launch

pytestmark = pytest.mark.slow

STEPS = 6


ROWS = "DATAFLEX_TEST_ROWS"
"""Names the folder of ``remember``: not a parameter, which must be the same in all stretches of a run."""


def remember(losses: Any, context: Any) -> Any:
    """Weigh all samples alike, and write down which rows this rank trains in this micro-batch."""
    place = Path(os.environ[ROWS]) / f"{context.step}.{os.environ.get('RANK', '0')}"
    with place.open("a") as file:
        file.write(json.dumps(context.samples.rows.tolist()) + "\n")
    return np.ones_like(losses)


class Stretch:
    """A run directory, and the rows of every step that was trained in this stretch of the run."""

    def __init__(self, folder: Path, rows: Path, ranks: int) -> None:
        self.run, self._rows, self._ranks = Run(folder), rows, ranks

    def rows(self, step: int) -> list[int]:
        files = [self._rows / f"{step}.{rank}" for rank in range(self._ranks)]
        parts = [[json.loads(line) for line in file.read_text().splitlines()] for file in files]
        return [row for micro_batch in zip(*parts, strict=True) for rank in micro_batch for row in rank]

    def gradient(self, step: int) -> torch.Tensor:
        """Return what plain gradient descent with rate one has added in a step."""
        before, after = (
            load_file(self.run.folder / f"checkpoint-{at}" / "model.safetensors") for at in (step, step + 1)
        )
        return torch.cat([(after[name] - before[name]).flatten() for name in sorted(after)])


def train(folder: Path, tiny: Path, ranks: int, start: Path | None = None, step: int = 0) -> Stretch:
    """Train to the end on so many processes, from a checkpoint of another run directory if one is given."""
    out, rows = folder / f"run-{ranks}-from-{step}", folder / f"rows-{ranks}-from-{step}"
    rows.mkdir()
    if start is not None:
        shutil.copytree(start, out)
        for later in range(step + 1, STEPS + 1):
            shutil.rmtree(out / f"checkpoint-{later}", ignore_errors=True)
        for file in (*out.glob("*.safetensors"), *out.glob("*.bin")):
            file.unlink()
    every = {"warmup_step": 1, "update_step": 2, "update_times": -1}
    weight = {"path": f"{__name__}:remember", "scope": "sample"}
    config = DESCENT | {
        "model_name_or_path": str(tiny / "model"),
        "do_train": True,
        "finetuning_type": "full",
        "dataset_dir": str(tiny / "data"),
        "template": "qwen",
        "output_dir": str(out),
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 4 // ranks,
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": 1,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "seed": 3,
        "learning_rate": 0.5,
        "train_step": STEPS,
        "decisions": [
            {"kind": "select", "component_name": "loss"} | every,
            {"kind": "mix", "component_name": "odm"} | every | {"update_step": 1},
            {"kind": "weight", "component_name": "custom", "component_params": weight},
        ],
    }
    file = folder / f"{out.name}.json"
    file.write_text(json.dumps({"strategy": "ddp", "device": "cpu", "jobs": {out.name: config}}))
    launch("tests.parallel.worker", [str(file)], ranks, timeout=900, env={ROWS: str(rows)})
    for error in folder.glob(f"{out.name}.*.error"):
        raise AssertionError(error.read_text())
    return Stretch(out, rows, ranks)


def test_one_process_two_and_one_again(tiny: Path, tmp_path: Path) -> None:
    one = train(tmp_path, tiny, 1)
    two = train(tmp_path, tiny, 2, one.run.folder, 2)
    again = train(tmp_path, tiny, 1, two.run.folder, 4)
    assert json.loads((again.run.folder / "manifest.json").read_text())["resumed"] == 2
    for step in range(2, STEPS):
        assert two.rows(step) == one.rows(step)
    for step in range(4, STEPS):
        assert again.rows(step) == one.rows(step)
    assert len({tuple(one.rows(step)) for step in range(STEPS)}) == STEPS
    # Both continue from the very same weights.
    for resumed, before, step in ((two, one, 2), (again, two, 4)):
        expected, found = before.gradient(step), resumed.gradient(step)
        assert expected.norm() > 1e-3
        assert (found - expected).norm() < 1e-6 * expected.norm()
    for later in (two, again):
        assert later.run.losses == pytest.approx(one.run.losses, rel=1e-5)
        assert [line["step"] for line in later.run.lines("plan_log.jsonl")] == [
            line["step"] for line in one.run.lines("plan_log.jsonl")
        ]
        digests = [
            [line["sha256"] for line in stretch.run.lines("plan_log.jsonl") if "sha256" in line]
            for stretch in (later, one)
        ]
        assert digests[0] == digests[1]
