"""The documents' complete examples, trained for a few steps on a small corpus of the demo's kind."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dataflex.host.prepare import check
from dataflex.host.train import train

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs/training.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
COMPLETE = [yaml.safe_load(text) for text in BLOCKS if "runs/demo/" in text]


def test_there_is_one_of_each_stage() -> None:
    assert sorted(config["stage"] for config in COMPLETE) == ["pt", "sft"]


@pytest.mark.parametrize("config", COMPLETE, ids=[config["stage"] for config in COMPLETE])
def test_they_train_as_they_stand(config: dict[str, Any], corpus: Path, tiny: Path, tmp_path: Path) -> None:
    here = {
        "model_name_or_path": str(tiny / "model"),
        "dataset_dir": str(corpus),
        "output_dir": str(tmp_path / "run"),
        "use_cpu": True,
    }
    check(config | here)
    short = {"warmup_step": 1, "update_step": 1, "cutoff_len": 64, "max_steps": 2, "logging_steps": 1}
    train(check(config | here | short))
    decisions = [json.loads(line) for line in (tmp_path / "run/plan_log.jsonl").read_text().splitlines()]
    assert decisions[-1]["component"] == config["component_name"]
    assert json.loads((tmp_path / "run/manifest.json").read_text())["status"] == "completed"
