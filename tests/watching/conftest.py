"""A rung's folder in any state, by the files that the workflow, its jobs and the runs write."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
import yaml
from snakemake_executor_plugin_slurm_cells import records

from dataflex.engine.checkpoints import seal
from dataflex.engine.facts import Facts
from dataflex.engine.ledger import Ledger
from dataflex.engine.ledger_log import LedgerLog
from dataflex.evidence.results import FILES, Kind

GRID: dict[str, Any] = {
    "schema": 1,
    "rung": "little",
    "seeds": [1],
    "corpora": {"corpus": {"source": "harvest"}},
    "models": {"tiny": {"build": {"corpus": "corpus", "options": {}}}},
    "experiments": {
        "mixture": {
            "title": "Mixtures",
            "models": ["tiny"],
            "config": {"stage": "pt", "do_train": True, "finetuning_type": "full"},
            "scales": {"harvest": {"corpus": "corpus"}},
            "methods": {
                "natural": {"config": {"train_type": "dynamic_mix", "component_name": "static"}},
                "uniform": {"config": {"train_type": "dynamic_mix", "component_name": "static"}},
                "proxy": {"config": {}, "report": False, "needs": {"reference": {"method": "natural"}}},
                "doremi": {"config": {}, "needs": {"proxy": {"method": "proxy"}}},
            },
        },
    },
}
SUFFIX = ".tiny.harvest.seed1"


class Rung:
    """A rung's folder ``R``, to be filled.

    Args:
        root: of the rung.
        now: Unix time that the tests' times are relative to.
    """

    def __init__(self, root: Path, now: float) -> None:
        self.root, self.now = root, now
        root.mkdir(parents=True)

    def write(self, path: str, content: Any) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return file

    def ready(self) -> None:
        """The corpus and the model are there."""
        self.write("corpus.ready.json", {})
        self.write("models/tiny.ready.json", {})

    def events(self, cell: str, *events: Mapping[str, Any], rule: str = "train") -> Path:
        """Attempts; the times of the events are seconds ago."""
        known = [{**event, "time": self.now - event["time"]} for event in events]
        lines = "".join(json.dumps(event) + "\n" for event in known)
        return self.write(f"attempts/{rule}/mixture/{cell}{SUFFIX}.jsonl", lines)

    def lock(self, cell: str, silent: float, rule: str = "train") -> None:
        """A lock whose last heartbeat is so many seconds ago."""
        file = self.write(f"attempts/{rule}/mixture/{cell}{SUFFIX}.lock", {"host": "node1", "slurm_job": "7"})
        os.utime(file, (self.now - silent, self.now - silent))

    def job(self, cell: str, submitted: float, slurm_job: str = "8", rule: str = "train") -> None:
        """A submission to Slurm so many seconds ago."""
        content = {"slurm_job": slurm_job, "submitted": self.now - submitted, "log": f"{self.root}/slurm.log"}
        self.write(f"jobs/{rule}/mixture/{cell}{SUFFIX}.json", content)

    def pending(self, place: str, reason: str | None, ago: float = 0) -> None:
        """What the executor notes when Slurm gives a reason, so many seconds ago, for letting a job wait."""
        with mock.patch.object(records.time, "time", return_value=self.now - ago):
            records.waits(self.root / f"jobs/{place}.json", reason)

    def log(self, cell: str, text: str, rule: str = "train") -> Path:
        return self.write(f"logs/{rule}/mixture/{cell}{SUFFIX}.log", text)

    def done(self, cell: str) -> None:
        self.write(f"train/mixture/{cell}{SUFFIX}.done.json", {"wall_seconds": 12.5})

    def results(self, cell: str, kind: Kind = "model", without: str = "") -> None:
        for name in FILES[kind]:
            if name != without:
                self.write(f"results/mixture/{cell}{SUFFIX}/{name}", "{}")

    def run_dir(self, cell: str) -> Path:
        folder = self.root / "train" / "mixture" / f"{cell}{SUFFIX}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def checkpoint(self, cell: str, step: int, *, whole: bool = True) -> None:
        folder = self.run_dir(cell) / f"checkpoint-{step}"
        (folder / "dataflex").mkdir(parents=True)
        (folder / "trainer_state.json").write_text("{}")
        seal(folder, resumable=True)
        if not whole:
            (folder / "trainer_state.json").unlink()


def write_ledger(run_dir: Path, intervals: Mapping[int, Sequence[tuple[float, int]]]) -> Path:
    """Write a ledger as a run does: by step the loss and the tokens of each domain."""
    domains = max(len(interval) for interval in intervals.values())
    ones = np.ones(domains, np.int64)
    names = tuple(f"d{index}" for index in range(domains))
    facts = Facts(names, ones, ones, ones / domains, seed=1, batch_rows=2, total_steps=max(intervals))
    ledger, log = Ledger(domains), LedgerLog(run_dir, facts)
    log.start()
    for step, interval in intervals.items():
        losses, tokens = torch.tensor(interval).double().T
        ledger.record(torch.arange(domains), losses * tokens, tokens)
        ledger.close_step(facts.proportions, asked=True)
        log.interval(step, ledger, asked=True)
    return run_dir / "ledger.jsonl"


def trainer_line(
    step: int, total: int, seconds: int, loss: float | None = 2.0, **more: Any
) -> dict[str, Any]:
    """A line of LLaMA-Factory's ``trainer_log.jsonl``; without a loss it is the one at the end of training."""
    clock = f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    line = {"current_steps": step, "total_steps": total, "loss": loss, "elapsed_time": clock, **more}
    return {key: value for key, value in line.items() if value is not None}


def write_trainer_log(run_dir: Path, *lines: Mapping[str, Any], written: float | None = None) -> Path:
    file = run_dir / "trainer_log.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    if written is not None:
        os.utime(file, (written, written))
    return file


@pytest.fixture
def rung(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rung:
    """An empty rung of the grid above, with its ``grid.json``, in the present folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reproductions").mkdir()
    (tmp_path / "reproductions/little.yaml").write_text(yaml.safe_dump(GRID, sort_keys=False))
    rung = Rung(Path("runs/little"), time.time())
    asked = {"grid": "reproductions/little.yaml", "seeds": None, "experiments": None, "methods": None}
    rung.write("grid.json", asked)
    return rung


@pytest.fixture
def busy(rung: Rung) -> Rung:
    """A rung in which one cell is evaluated, one trains after a restart, one has failed and one waits."""
    rung.ready()
    rung.done("natural")
    rung.results("natural")
    start = {"event": "start", "host": "node1", "slurm_job": "7"}
    end = {"event": "end", "time": 300, "reason": None}
    rung.events(
        "uniform", start | {"time": 900}, end | {"status": 75, "reason": "time limit"}, start | {"time": 200}
    )
    rung.lock("uniform", silent=3)
    rung.log("uniform", "training\n")
    lines = [trainer_line(step, 500, step) for step in (100, 200)]
    write_trainer_log(rung.run_dir("uniform"), *lines, written=rung.now)
    write_ledger(rung.run_dir("uniform"), {step: [(5.25, 870_000)] for step in (100, 200)})
    rung.events("proxy", start | {"time": 400}, end | {"status": 1})
    rung.log("proxy", "error: [Errno 28] No space left on device: 'checkpoint-200/model.safetensors'\n")
    rung.checkpoint("proxy", 100)
    return rung
