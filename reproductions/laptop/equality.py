"""Two run directories, compared bit by bit."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

VOLATILE = {"train_runtime", "train_samples_per_second", "train_steps_per_second"}
"""Keys of the Trainer's log that tell the time."""
ARGUMENTS = "training_args.bin"
"""Holds the path that was resumed from."""
JOURNALS = ("plan_log.jsonl", "ledger.jsonl")


def assert_same_run(one: Path, other: Path) -> None:
    """Fail unless two finished runs have left the same numbers: see ``differences``."""
    assert differences(one, other) == []


def differences(one: Path, other: Path) -> list[str]:
    """Name what differs: weights, checkpoints, journals, selections, the Trainer's log, what was learned."""
    found = []
    for pattern in ("*.safetensors", "*.jsonl", "selections/*", "checkpoint-*"):
        names = [
            {
                path.relative_to(run).as_posix()
                for path in run.glob(pattern)
                if path.name != "trainer_log.jsonl"
            }
            for run in (one, other)
        ]
        found += [f"{name} is in one alone" for name in sorted(names[0] ^ names[1])]
        for name in sorted(names[0] & names[1]):
            if (one / name).is_dir():
                found += [f"{name}/{what}" for what in _of_checkpoints(one / name, other / name)]
            elif (one / name).read_bytes() != (other / name).read_bytes():
                found.append(name)
    found += [f"{name} is missing" for name in JOURNALS if not (one / name).is_file()]
    if _trainer_state(one) != _trainer_state(other):
        found.append("trainer_state.json")
    manifests = [json.loads((run / "manifest.json").read_text()) for run in (one, other)]
    for key in ("status", "learned_proportions", "config_hash"):
        if manifests[0].get(key) != manifests[1].get(key):
            found.append(f"manifest.json: {key}")
    return found


def _of_checkpoints(one: Path, other: Path) -> list[str]:
    files = [
        {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()} for folder in (one, other)
    ]
    found = [f"{name} is in one alone" for name in sorted(files[0] ^ files[1])]
    for name in sorted(files[0] & files[1]):
        mine, theirs = one / name, other / name
        if mine.read_bytes() == theirs.read_bytes():
            # DeepSpeed's hold objects that are equal to none but themselves.
            continue
        if name.name == "trainer_state.json":
            same = _trainer_state(one) == _trainer_state(other)
        elif name.suffix in (".pt", ".pth"):
            # The Trainer's own random states hold more than plain tensors.
            same = identical(*(torch.load(file, weights_only=False) for file in (mine, theirs)))
        elif name.name == ARGUMENTS:
            continue
        elif name.name == "complete.json":
            same = _sizes(mine) == _sizes(theirs)
        elif name.name == "adapter_config.json":
            same = _adapter(mine) == _adapter(theirs)
        else:
            same = False
        if not same:
            found.append(str(name))
    return found


def _adapter(file: Path) -> dict[str, Any]:
    """Return an adapter's configuration; peft keeps its layers in a set, in each process in another order."""
    content = dict(json.loads(file.read_text()))
    return content | {"target_modules": sorted(content["target_modules"])}


def _sizes(seal: Path) -> dict[str, int]:
    return {name: size for name, size in json.loads(seal.read_text())["files"].items() if name != ARGUMENTS}


def _trainer_state(folder: Path) -> dict[str, Any]:
    state = dict(json.loads((folder / "trainer_state.json").read_text()))
    state["log_history"] = [
        {key: value for key, value in entry.items() if key not in VOLATILE} for entry in state["log_history"]
    ]
    return state


def identical(one: Any, other: Any) -> bool:
    """Tell whether two nests of containers, tensors and arrays hold the same bits."""
    if isinstance(one, torch.Tensor):
        return (
            isinstance(other, torch.Tensor)
            and one.dtype == other.dtype
            and torch.equal(
                one.contiguous().view(-1).view(torch.uint8), other.contiguous().view(-1).view(torch.uint8)
            )
        )
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.tobytes() == other.tobytes()
    if isinstance(one, Mapping):
        return list(one) == list(other) and all(identical(one[key], other[key]) for key in one)
    if isinstance(one, Sequence) and not isinstance(one, str):
        return len(one) == len(other) and all(map(identical, one, other))
    return bool(one == other)
