"""One golden run, in this process: a training by LLaMA-Factory, and what is kept of it."""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from dataflex.golden.cases import Case
from dataflex.golden.entry import Entry
from dataflex.golden.tracing import Trace, tracing
from dataflex.golden.values import Leaf, leaves

PLACES = ("ids",)
"""Of a plan log's line: names of files."""


def run_case(case: Case, materials: Path) -> dict[str, Entry]:
    """Train a component's golden run and return its quantities.

    To be called in a process of its own: it leaves the working directory and the environment changed.

    Args:
        case: what to run.
        materials: folder that ``make_materials`` filled; the run makes its own folder there.
    """
    folder = materials / f"run-{case.label}-{os.getpid()}"
    folder.mkdir()
    shutil.copytree(materials / "reference", folder / "reference")
    os.chdir(folder)
    try:
        trace = _train(case)
        return entries_of(Path("run"), trace)
    finally:
        os.chdir(materials)
        shutil.rmtree(folder, ignore_errors=True)


def _train(case: Case) -> Trace:
    import datasets
    import torch

    from dataflex.host.prepare import check
    from dataflex.host.train import train

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    datasets.config.HF_DATASETS_CACHE = Path("cache").resolve()
    checked = check(case.config())
    ((_, component),) = checked.components.values()
    with tracing(component) as trace:
        train(checked)
    return trace


def entries_of(run_dir: Path, trace: Trace) -> dict[str, Entry]:
    """Return everything that is kept of a finished run.

    Args:
        run_dir: of the run.
        trace: of what its component answered.
    """
    found: dict[str, list[Leaf]] = defaultdict(list)
    state = json.loads((run_dir / "trainer_state.json").read_text())
    for line in state["log_history"]:
        for key in ("loss", "grad_norm"):
            if key in line:
                found[f"steps: {key}"].append(np.array([line[key]], np.float64))
    for journal in ("plan_log", "ledger"):
        for text in (run_dir / f"{journal}.jsonl").read_text().splitlines():
            record = {key: value for key, value in json.loads(text).items() if key not in PLACES}
            head = f"{journal} {record.pop('domain', record.get('decision', ''))}"
            for place, leaf in leaves(record):
                found[f"{head}: {place}"].append(leaf)
    manifest = json.loads((run_dir / "manifest.json").read_text())
    for place, leaf in leaves(manifest.get("learned_proportions")):
        found[f"learned: {place}"].append(leaf)
    found["rows in order"] = [trace.rows[step] for step in sorted(trace.rows)]
    found |= trace.returned
    for name, weights in sorted(_weights(run_dir).items()):
        found["weights"].append(name)
        found["weights: values"].append(weights)
    return {name: Entry.of(name, parts) for name, parts in found.items()}


def _weights(run_dir: Path) -> dict[str, np.ndarray[Any, Any]]:
    from safetensors.numpy import load_file

    return {name: value.astype("<f8") for name, value in load_file(run_dir / "model.safetensors").items()}
