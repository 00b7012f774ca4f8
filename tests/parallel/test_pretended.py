"""The pretended device refuses what a GPU refuses; that every method runs on it is in test_equivalence.py."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ..host.conftest import Run
from .conftest import launch
from .jobs import jobs

ROOT = Path(__file__).parents[2]

# What a GPU refuses, and what it takes.
MIXTURES = """
    import torch
    from dataflex.host.leaving import leave
    from tests.parallel import pretended

    pretended.start()
    here, there = torch.ones(3), torch.ones(3, device=pretended.NAME)
    index, index_there = torch.tensor([0, 2]), torch.tensor([0, 2], device=pretended.NAME)
    layer = torch.nn.Linear(3, 3).to(pretended.NAME)

    def put():
        there[index_there] = here[:2]

    for mixed in (
        lambda: here + there,
        lambda: layer(here),
        lambda: here[index_there],
        lambda: torch.cat([here, there]),
        lambda: torch.where(there > 0, there, here),
        lambda: there.index_add_(0, index, there[:2]),
        lambda: there.numpy(),
        lambda: torch.stack([there]).cpu().numpy() @ there,
        put,
    ):
        try:
            mixed()
        except (RuntimeError, TypeError):
            continue
        raise SystemExit(f"line {mixed.__code__.co_firstlineno} was not refused")
    two = torch.tensor(2.0)
    assert (there * two + 1).tolist() == [3, 3, 3]
    assert {(two * there).device.type, there.clone().device.type, there[0].device.type} == {pretended.NAME}
    assert here.copy_(there + 1) is here and here.tolist() == [2, 2, 2]
    assert there.cpu().device.type == "cpu"
    assert there[index].tolist() == [1, 1]
    assert there.copy_(here * 2).sum().item() == 12
    layer(there).sum().backward()
    assert layer.weight.grad.device.type == pretended.NAME
    # The device's thread for gradients speaks Python, and the interpreter would end under it.
    leave(0)
"""


def test_the_device_mixes_with_the_cpu_no_more_than_a_gpu() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MIXTURES)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_run_goes_on_from_its_checkpoint(tiny: Path, experts: dict[str, Path], tmp_path: Path) -> None:
    """A selection, a mixture and weights in one run, and a reference model: the same losses after a restart."""
    every = jobs(tiny, experts["qwen3_moe"], tmp_path, "single", "pretended")
    todo = {
        name: every[name] | {"save_strategy": "steps", "save_steps": 3} for name in ("all", "doremi-live")
    }
    file = tmp_path / "jobs.json"
    file.write_text(json.dumps({"strategy": "single", "device": "pretended", "jobs": todo}))
    whole = {}
    for attempt in range(2):
        launch("tests.parallel.worker", [str(file)], 1, timeout=600)
        assert [error.read_text() for error in tmp_path.glob("*.error")] == []
        for name in todo:
            if attempt == 0:
                whole[name] = Run(tmp_path / name).losses
                shutil.rmtree(tmp_path / name / "checkpoint-6")
                (tmp_path / name / "model.safetensors").unlink()
                continue
            assert json.loads((tmp_path / name / "manifest.json").read_text())["resumed"] == 1
            assert Run(tmp_path / name).losses == whole[name]
