"""Finished runs as measurements: what each computed and how long it took."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from dataflex.corpus.packed.shards import HELD_OUT
from dataflex.errors import UserError
from dataflex.planning.architecture import Architecture, of_config
from dataflex.planning.calibration import Measurement
from dataflex.planning.corpora import Corpus, read_card
from dataflex.planning.work import batch_rows, is_packed, work_of


def read_measurements(folders: Sequence[Path]) -> tuple[list[Measurement], list[tuple[Path, str]], str]:
    """Read run directories.

    Returns:
        The measurements; the runs that were passed over, with the reason; what they ran on.

    Raises:
        UserError: none of them can be used, or they ran on different hardware.
    """
    found: list[Measurement] = []
    left_out: list[tuple[Path, str]] = []
    hardware: set[str] = set()
    for folder in folders:
        if not (folder / "manifest.json").is_file():
            left_out.append((folder, "no manifest.json"))
            continue
        manifest = json.loads((folder / "manifest.json").read_text())
        if manifest["status"] != "completed" or not manifest["wall_seconds"] or manifest["resumed"]:
            left_out.append((folder, "not run in one go"))
            continue
        try:
            found.append(_measurement(folder, manifest))
        except (UserError, KeyError, OSError) as error:
            left_out.append((folder, str(error)))
            continue
        hardware.add(_hardware(manifest["hardware"]))
    if not found:
        raise UserError(f"no run can be used: {left_out[0][1] if left_out else 'give run directories'}")
    if len(hardware) > 1:
        raise UserError(f"the runs are of different hardware: {'; '.join(sorted(hardware))}")
    return found, left_out, hardware.pop()


def _hardware(told: dict[str, Any]) -> str:
    if told["gpus"]:
        return str(told["gpus"][0])
    return f"{told['processor']}, {told['threads']} thread{'s' if told['threads'] > 1 else ''}"


def _measurement(folder: Path, manifest: dict[str, Any]) -> Measurement:
    config = yaml.safe_load((folder / "config.yaml").read_text())
    processes = int(manifest["hardware"]["world_size"])
    steps = manifest["total_steps"] or json.loads((folder / "trainer_state.json").read_text())["global_step"]
    model = _architecture(folder, str(config["model_name_or_path"]))
    work = work_of(
        {**config, "max_steps": steps, "train_step": 0},
        model,
        _data(folder, manifest, config, steps, processes),
        processes,
        lambda name: _architecture(folder, name),
    )
    if work.unknown:
        raise UserError(f"{work.unknown[0]} are not known")
    # <experiment>/<method>.<model>.<scale>.seed<n>
    cell = f"{folder.parent.name}/{folder.name.rpartition('.seed')[0] or folder.name}"
    return Measurement(cell, float(manifest["wall_seconds"]), work, processes, model.parameters)


def _data(
    folder: Path, manifest: dict[str, Any], config: dict[str, Any], steps: int, processes: int
) -> Corpus:
    """What the run read, as counted by the run itself."""
    rows = batch_rows(config, processes) * steps
    result = json.loads((folder / "all_results.json").read_text())
    seen = result.get("num_input_tokens_seen")
    if not seen and not is_packed(config):
        raise UserError("the tokens of its rows were not counted: set include_num_input_tokens_seen: all")
    own = [entry for entry in manifest["data"].values() if "rows" in entry]
    pool = sum(entry["rows"] for entry in own) or None
    tokens = sum(entry["loss_tokens"] for entry in own) or None
    names = [name.strip() for name in str(config.get("eval_dataset") or "").split(",") if name.strip()]
    held_out = "packed_corpus" in config and names == [HELD_OUT]
    validation = 0 if held_out else sum(_rows_of(folder, str(config["dataset_dir"]), name) for name in names)
    card = _find(folder, str(config["packed_corpus"])) / "card.json" if held_out else None
    return Corpus(
        says="counted by the run",
        tokens=tokens,
        weights={
            name: float(entry["loss_tokens"]) for name, entry in manifest["data"].items() if "rows" in entry
        },
        rows=pool,
        row_tokens=seen / rows if seen else None,
        validation_rows=validation or None,
        held_out_tokens=read_card(card)["held_out_tokens"] if card else 0,
    )


def _rows_of(folder: Path, data: str, name: str) -> int:
    """Rows of a data set in JSON lines."""
    place = _find(folder, data)
    file = place / json.loads((place / "dataset_info.json").read_text())[name]["file_name"]
    with file.open() as stream:
        return sum(1 for _ in stream)


def _architecture(folder: Path, model: str) -> Architecture:
    return of_config(json.loads((_find(folder, model) / "config.json").read_text()))


def _find(folder: Path, path: str) -> Path:
    """A path of a run's configuration, which is relative to where the run was started: above its folder."""
    for above in (Path(), *folder.absolute().parents):
        if (above / path).exists():
            return above / path
    raise UserError(f"{path} is not there")
