"""The demo's grid as a cluster would train it: the same cells, every one of them with DeepSpeed's ZeRO-3."""

from __future__ import annotations

from pathlib import Path

import yaml

from .drill import REPOSITORY

FILES = ("demo.yaml", "planted.yaml")


def demo_under_zero3(folder: Path) -> Path:
    """Write the demo's grid and what it includes, with ZeRO-3 in every experiment; the path of the grid."""
    for name in FILES:
        grid = yaml.safe_load((REPOSITORY / "reproductions" / name).read_text())
        for experiment in grid["experiments"].values():
            # DeepSpeed finds out by itself that there is no GPU. Experiments may share one config.
            own = {key: value for key, value in experiment["config"].items() if key != "use_cpu"}
            experiment["config"] = own | {"deepspeed": "reproductions/deepspeed/zero3.json"}
            # torchrun, what starts it, and the compiler of DeepSpeed's operators are of the job's memory.
            train = {**experiment["resources"]["train"], "mem_mb": 6000}
            experiment["resources"] = {**experiment["resources"], "train": train}
        (folder / name).write_text(yaml.safe_dump(grid, sort_keys=False))
    return folder / FILES[0]
