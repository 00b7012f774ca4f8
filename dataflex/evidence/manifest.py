"""The run directory's own account: configuration as run, versions, data, hardware, time."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from dataflex.engine.proportions import LEARNED
from dataflex.evidence.checkout import commit

if TYPE_CHECKING:  # what only reads manifests needs no torch
    from dataflex.engine.decision import Decision
    from dataflex.engine.facts import Facts
    from dataflex.engine.schedule import Kind

SCHEMA = 1
PACKAGES = (
    "dataflex",
    "llamafactory",
    "transformers",
    "torch",
    "accelerate",
    "deepspeed",
    "peft",
    "datasets",
    "tokenizers",
    "numpy",
)
_SECRET = ("token", "key", "password", "secret")


@dataclass
class Manifest:
    """``config.yaml`` and ``manifest.json`` of a run directory."""

    config: dict[str, Any]
    content: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        config: dict[str, Any],
        files: dict[str, list[Path]],
        facts: Facts | None,
        decisions: dict[Kind, Decision],
    ) -> Manifest:
        """Collect what is known before training.

        Args:
            config: as run, overrides included.
            files: local files of each dataset; they are fingerprinted.
            facts: rows and tokens of the domains; none for a run that LLaMA-Factory does alone.
            decisions: of the run, by kind.
        """
        public = without_secrets(config)
        made = without_secrets({kind: decision.as_dict() for kind, decision in decisions.items()})
        data: dict[str, dict[str, Any]] = {
            name: {"sha256": fingerprint(paths) if paths else None} for name, paths in files.items()
        }
        if facts is not None:
            for index, name in enumerate(facts.domains):
                data[name] |= {"rows": int(facts.rows[index]), "loss_tokens": int(facts.loss_tokens[index])}
        content = {
            "schema": SCHEMA,
            "status": "running",
            "config_hash": config_hash(public, made),
            "train_type": config.get("train_type", "static" if not decisions else "decisions"),
            "decisions": made,
            "seed": facts.seed if facts else config.get("seed", 42),
            "batch_rows": facts.batch_rows if facts else None,
            "total_steps": facts.total_steps if facts else None,
            "data": data,
            "versions": versions(),
            "commit": commit(),
            "hardware": hardware(),
            "stretches": [],
            "resumed": 0,
            "wall_seconds": None,
        }
        return cls(public, content)

    def start(self, run_dir: Path, from_step: int = 0) -> None:
        """Write configuration and manifest at the start of a run, or of its continuation."""
        run_dir.mkdir(parents=True, exist_ok=True)
        before = []
        if from_step and (run_dir / "manifest.json").is_file():
            before = json.loads((run_dir / "manifest.json").read_text())["stretches"]
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.content["stretches"] = [*before, {"started": now, "from_step": from_step, "wall_seconds": None}]
        self.content["resumed"] = len(before)
        write_atomically(run_dir / "config.yaml", yaml.safe_dump(self.config, sort_keys=False))
        self._write(run_dir)

    def complete(
        self, run_dir: Path, wall_seconds: float, learned_proportions: dict[str, float] | None = None
    ) -> None:
        """Mark the run as completed.

        ``wall_seconds`` of the whole is the sum over its stretches, and none when one of them was killed,
        since nobody knows how long that one took. ``learned_proportions``: for later runs, by domain.
        """
        stretches = self.content["stretches"]
        stretches[-1]["wall_seconds"] = round(wall_seconds, 3)
        times = [stretch["wall_seconds"] for stretch in stretches]
        whole = None if None in times else round(sum(times), 3)
        self.content |= {"status": "completed", "wall_seconds": whole}
        if learned_proportions is not None:
            self.content[LEARNED] = learned_proportions
        self._write(run_dir)

    def interrupt(self, run_dir: Path, wall_seconds: float) -> None:
        """Mark the run as stopped in order, to be gone on with; its last stretch took so long."""
        self.content["stretches"][-1]["wall_seconds"] = round(wall_seconds, 3)
        self.content["status"] = "interrupted"
        self._write(run_dir)

    def _write(self, run_dir: Path) -> None:
        write_atomically(run_dir / "manifest.json", json.dumps(self.content, indent=2) + "\n")


def write_atomically(path: Path, text: str) -> None:
    """Write a file under a temporary name and move it into place."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text)
    temporary.replace(path)


def is_completed(run_dir: Path) -> bool:
    """Tell whether a run directory's manifest says that the run was completed."""
    file = run_dir / "manifest.json"
    return file.is_file() and json.loads(file.read_text()).get("status") == "completed"


def without_secrets(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration without access tokens and passwords, at any depth."""
    return {
        key: without_secrets(value) if isinstance(value, dict) else value
        for key, value in config.items()
        if not (isinstance(value, str) and key.lower().rsplit("_", 1)[-1] in _SECRET)
    }


def config_hash(config: dict[str, Any], decisions: dict[str, Any]) -> str:
    """Return a hash of what a run means: its configuration and every parameter of its decisions.

    Where the output goes does not count.
    """
    meaning = {key: value for key, value in config.items() if key != "output_dir"} | {"decided": decisions}
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()


def fingerprint(files: Sequence[Path]) -> str:
    """Return a hash of the content of some files, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(files):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide about results."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """Return what the run computes on."""
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": gpus,
        "world_size": int(os.environ.get("WORLD_SIZE", "1")),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
