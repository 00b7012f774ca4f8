"""Runs that have to stop: after every step because time is over, and at their launcher's signal."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from dataflex.engine.checkpoints import checkpoints_of, is_resumable, step_of
from dataflex.engine.deadline import Deadline
from dataflex.engine.interruption import Interruption
from dataflex.errors import Interrupted
from dataflex.host import static
from dataflex.host.prepare import Checked, check
from dataflex.host.train import train

from .conftest import Run

Train = Callable[[Checked, Interruption], None]
LORA = {"finetuning_type": "lora", "lora_target": "all", "lora_dropout": 0.3}


def stops_before_the_end(train: Train, config: dict[str, Any]) -> int:
    """Start a run whose time is over until it ends, and return how often it stopped before."""
    run = Path(config["output_dir"])
    for stops in count():
        try:
            train(check(config), Interruption(Deadline(1.0)))
        except Interrupted as stop:
            said = str(stop)
        else:
            return stops
        assert f"interrupted at step {stops + 1} by the time limit: " in said
        assert not list(run.glob("*.safetensors"))
        assert json.loads((run / "manifest.json").read_text())["status"] == "interrupted"
    raise AssertionError


def assert_same_end(cut: Run, whole: Run) -> None:
    assert cut.losses == whole.losses
    assert len(whole.losses) > 1
    for name, weight in whole.weights.items():
        assert torch.equal(cut.weights[name], weight), name
    manifest = json.loads((cut.folder / "manifest.json").read_text())
    assert manifest["status"] == "completed"
    assert [stretch["from_step"] for stretch in manifest["stretches"]] == list(range(len(whole.losses)))
    assert manifest["wall_seconds"] > 0


def test_a_dynamic_run_that_stops_after_every_step(config: dict[str, Any], tmp_path: Path) -> None:
    """Saved in whole, although the configuration saves the model alone; the epoch's end adds nothing."""
    keys: dict[str, Any] = {
        "train_type": "dynamic_mix",
        "component_name": "odm",
        "update_step": 1,
        "train_step": 4,
        "save_strategy": "epoch",
        "logging_strategy": "steps",
        "save_only_model": True,
    }
    config |= LORA | keys
    train(check(config | {"output_dir": str(tmp_path / "whole")}))
    assert stops_before_the_end(train, config) == 3
    cut, whole = Run(Path(config["output_dir"])), Run(tmp_path / "whole")
    assert_same_end(cut, whole)
    for log in ("plan_log.jsonl", "ledger.jsonl"):
        assert cut.lines(log) == whole.lines(log)


def test_a_run_that_stops_within_its_very_first_decision_begins_anew(
    config: dict[str, Any], tmp_path: Path
) -> None:
    """Nothing is trained yet that could be saved; a time limit does not end a decision."""
    keys: dict[str, Any] = {
        "stage": "sft",
        "dataset": "sft",
        "cutoff_len": 64,
        "train_type": "dynamic_select",
        "component_name": "loss",
        "warmup_step": 0,
        "update_step": 2,
        "update_times": 1,
    }
    config |= LORA | keys
    (tmp_path / "stop").write_text("SIGUSR2")
    with pytest.raises(Interrupted, match="interrupted at step 0 by SIGUSR2: nothing is trained, and the sa"):
        train(check(config), Interruption(Deadline(None), tmp_path / "stop"))
    run = Run(Path(config["output_dir"]))
    assert json.loads((run.folder / "manifest.json").read_text())["status"] == "interrupted"
    assert checkpoints_of(run.folder) == run.lines("plan_log.jsonl") == []
    with pytest.raises(Interrupted, match="interrupted at step 1 by the time limit"):
        train(check(config), Interruption(Deadline(1.0)))
    assert [line["step"] for line in run.lines("plan_log.jsonl")] == [0]


def test_a_stock_run_that_stops_after_every_step(config: dict[str, Any], tmp_path: Path) -> None:
    config |= LORA | {"train_type": "static", "max_steps": 3}
    static.train(check(config | {"output_dir": str(tmp_path / "whole")}))
    assert stops_before_the_end(static.train, config) == 2
    assert_same_end(Run(Path(config["output_dir"])), Run(tmp_path / "whole"))


@pytest.mark.parametrize("state", [None, '{"epoch": 1'], ids=["no state", "half of it"])
def test_a_stock_run_goes_on_from_the_checkpoint_before_one_that_was_cut_short(
    config: dict[str, Any], tmp_path: Path, state: str | None
) -> None:
    """LLaMA-Factory would go on from the newest, and fail at every start."""
    config |= LORA | {"train_type": "static", "max_steps": 3, "save_strategy": "steps", "save_steps": 1}
    config["save_only_model"] = False
    static.train(check(config | {"output_dir": str(tmp_path / "whole")}))
    run = Path(config["output_dir"])
    shutil.copytree(tmp_path / "whole" / "checkpoint-1", run / "checkpoint-1")
    shutil.copytree(tmp_path / "whole" / "checkpoint-2", run / "checkpoint-2")
    (run / "checkpoint-2" / "optimizer.pt").unlink()
    (run / "checkpoint-2" / "trainer_state.json").unlink()
    if state is not None:
        (run / "checkpoint-2" / "trainer_state.json").write_text(state)
    static.train(check(config))
    assert (run / "abandoned-checkpoint-2").is_dir()
    cut, whole = Run(run), Run(tmp_path / "whole")
    assert cut.losses == whole.losses
    for name, weight in whole.weights.items():
        assert torch.equal(cut.weights[name], weight), name


def test_a_stock_run_whose_first_checkpoint_was_cut_short_begins_anew(
    torchrun: Callable[..., Run], tmp_path: Path
) -> None:
    """On two processes, both of which look for a checkpoint."""
    (tmp_path / "run" / "checkpoint-1").mkdir(parents=True)
    run = torchrun(**LORA, train_type="static", max_steps=2, output_dir=str(tmp_path / "run"))
    assert len(run.losses) == 2
    assert (run.folder / "abandoned-checkpoint-1").is_dir()


def test_what_cannot_stop_in_order_is_left_to_the_signal(config: dict[str, Any]) -> None:
    """A run that only evaluates has nothing to go on from."""
    config |= {"do_train": False, "do_eval": True, "eval_dataset": "docs"}
    del config["dataset"]
    before = signal.getsignal(signal.SIGTERM)
    with Interruption.of({}) as interruption:
        assert signal.getsignal(signal.SIGTERM) != before
        static.train(check(config), interruption)
        assert signal.getsignal(signal.SIGTERM) == before


def started(file: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start two processes through the command line; log and ledger show how far they are."""
    env = os.environ | {"FORCE_TORCHRUN": "1", "NPROC_PER_NODE": "2", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "dataflex.cli", "train", str(file)]
    with log.open("wb") as stream:
        return subprocess.Popen(command, env=env, stderr=stream, stdout=stream, start_new_session=True)


def wait_for_step(process: subprocess.Popen[bytes], ledger: Path, step: int, log: Path) -> None:
    while not ledger.is_file() or f'"step": {step},' not in ledger.read_text():
        assert process.poll() is None, log.read_text()[-3000:]
        time.sleep(0.2)


def told_checkpoint(log: Path, run: Path) -> Path:
    """Return the checkpoint of the one line that tells the end."""
    (line,) = [line for line in log.read_text().splitlines() if "interrupted at step" in line]
    checkpoint = checkpoints_of(run)[-1]
    assert line.endswith(f": {checkpoint} is saved, and the same command goes on from there")
    assert is_resumable(checkpoint)
    assert "Traceback" not in log.read_text()
    return checkpoint


@pytest.mark.slow
def test_signals_to_a_launcher_and_its_processes(config: dict[str, Any], tmp_path: Path) -> None:
    """SIGTERM to the launcher alone, twice; SIGUSR2 to torchrun as well, as Slurm sends it."""
    keys = {"train_type": "dynamic_mix", "component_name": "static", "train_step": 50_000}
    file, run = tmp_path / "long.yaml", Path(config["output_dir"])
    file.write_text(yaml.safe_dump(config | keys))
    log = tmp_path / "first.txt"
    launcher = started(file, log)
    try:
        wait_for_step(launcher, run / "ledger.jsonl", 3, log)
        launcher.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        launcher.send_signal(signal.SIGTERM)
        assert launcher.wait(120) == 75, log.read_text()[-3000:]
        first = step_of(told_checkpoint(log, run))
        assert json.loads((run / "manifest.json").read_text())["status"] == "interrupted"

        log = tmp_path / "second.txt"
        launcher = started(file, log)
        wait_for_step(launcher, run / "ledger.jsonl", first + 3, log)
        os.killpg(launcher.pid, signal.SIGUSR2)
        assert launcher.wait(120) == 75, log.read_text()[-3000:]
        assert step_of(told_checkpoint(log, run)) >= first + 3
    finally:
        launcher.kill()
    stretches = json.loads((run / "manifest.json").read_text())["stretches"]
    assert [stretch["from_step"] for stretch in stretches] == [0, first]
