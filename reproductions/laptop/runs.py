"""One configuration, run twice: to its end, and killed on the way and started again."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from dataflex.errors import UserError


def write_data(source: Path, folder: Path, pool: int, validation: int) -> None:
    """Write the first rows of a file in Alpaca's format as pool, the next ones as validation set.

    Args:
        source: JSON, or JSON lines, of instruction, input and output.
        folder: for LLaMA-Factory's ``dataset_dir``.
        pool: rows.
        validation: rows.
    """
    with source.open(encoding="utf-8") as lines:
        rows = (
            list(map(json.loads, islice(lines, pool + validation)))
            if source.suffix == ".jsonl"
            else json.load(lines)
        )
    if len(rows) < pool + validation:
        raise UserError(f"{source} has {len(rows)} rows, fewer than {pool + validation}")
    folder.mkdir(parents=True, exist_ok=True)
    parts = {"pool": rows[:pool], "validation": rows[pool : pool + validation]}
    for name, part in parts.items():
        (folder / f"{name}.json").write_text(json.dumps(part))
    (folder / "dataset_info.json").write_text(
        json.dumps({name: {"file_name": f"{name}.json"} for name in parts})
    )


def config_of(model: Path, data: Path) -> dict[str, Any]:
    """Return a run of twenty steps that selects with LESS before the fifth and the twelfth."""
    return {
        "model_name_or_path": str(model.resolve()),
        "template": "default",
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "lora_rank": 8,
        "lora_dropout": 0.1,
        "dataset_dir": str(data.resolve()),
        "dataset": "pool",
        "eval_dataset": "validation",
        "cutoff_len": 96,
        "train_type": "dynamic_select",
        "component_name": "less",
        "warmup_step": 5,
        "update_step": 7,
        "update_times": 2,
        "train_step": 20,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 1,
        "learning_rate": 2.0e-4,
        "lr_scheduler_type": "cosine",
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": 5,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "seed": 1,
        # Of the folder in which it runs, so that two runs have the same configuration.
        "output_dir": "run",
    }


@dataclass(frozen=True)
class Start:
    """One start of the run's process.

    Attributes:
        end: "end of the run", or where it was killed.
        seconds: wall time.
        peak: bytes of memory that the process had at most.
    """

    end: str
    seconds: float
    peak: int


def start(
    folder: Path, config: dict[str, Any], kill: tuple[str, Callable[[Path], bool]] | None = None
) -> Start:
    """Start the run in a folder, and kill it with ``kill -9`` when a condition of its directory holds.

    Raises:
        UserError: it ended badly, or before it could be killed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    # Tells of this start alone, for what waits for a step.
    (folder / "run" / "trainer_log.jsonl").unlink(missing_ok=True)
    began = time.monotonic()
    with (folder / "log.txt").open("a") as log:
        command = [sys.executable, "-m", "dataflex.cli", "train", "config.yaml"]
        env = os.environ | {"HF_HUB_OFFLINE": "1"}
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)
        while kill is not None and process.poll() is None and not kill[1](folder / "run"):
            time.sleep(0.05)
        if kill is not None:
            process.send_signal(signal.SIGKILL)
        status = process.wait()
    expected = 0 if kill is None else -signal.SIGKILL
    if status != expected:
        raise UserError(f"the run ended with status {status}, not {expected}: see {folder / 'log.txt'}")
    # Linux counts in KiB, of the largest child so far.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return Start("end of the run" if kill is None else kill[0], time.monotonic() - began, peak)


def within_step(step: int) -> tuple[str, Callable[[Path], bool]]:
    """Kill in the step behind this one."""
    return f"in step {step + 1}", lambda run: step in _logged_steps(run)


def within_checkpoint(step: int) -> tuple[str, Callable[[Path], bool]]:
    """Kill while the checkpoint after this step is written."""
    return f"in writing checkpoint-{step}", lambda run: (run / f"checkpoint-{step}").is_dir()


def within_selection(step: int, seconds: float) -> tuple[str, Callable[[Path], bool]]:
    """Kill some seconds after the step behind which a selection is made; they must fall into its pass."""
    due: list[float] = []

    def condition(run: Path) -> bool:
        if not due and step in _logged_steps(run):
            due.append(time.monotonic() + seconds)
        return bool(due) and time.monotonic() > due[0]

    return f"in the selection after step {step}", condition


def _logged_steps(run: Path) -> list[int]:
    log = run / "trainer_log.jsonl"
    # The last line may be half written.
    lines = log.read_text().split("\n")[:-1] if log.is_file() else []
    return [json.loads(line)["current_steps"] for line in lines]
