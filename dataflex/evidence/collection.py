"""From a run directory to the small text files of a result: learning curve, shares of domains, identity."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from dataflex.errors import UserError
from dataflex.evidence import shares
from dataflex.evidence.files import write_table, write_text
from dataflex.evidence.results import CURVE_COLUMNS, PLAN_LOG, SHARES, Point, read_json, read_lines


def curve_of_ledger(lines: list[dict[str, Any]]) -> list[Point]:
    """Pool the ledger's domains: at each logged step the mean loss a token since the last one, in nats.

    Returns (step, loss tokens so far over all domains, loss). A domain that contributed no token to a line is
    left out of the mean; the total counts the tokens of all domains.
    """
    weighted: dict[int, float] = defaultdict(float)
    tokens: dict[int, int] = defaultdict(int)
    for line in lines:
        if line["loss_tokens"]:
            weighted[line["step"]] += line["loss"] * line["loss_tokens"]
        tokens[line["step"]] += line["loss_tokens"]
    points: list[Point] = []
    total = 0
    for step in sorted(tokens):
        total += tokens[step]
        if tokens[step]:
            points.append((step, total, weighted[step] / tokens[step]))
    return points


def curve_of_trainer_state(state: Mapping[str, Any]) -> list[Point]:
    """Training losses that the trainer logged, with the input tokens seen where it counted them."""
    return [
        (int(entry["step"]), _integer(entry.get("num_input_tokens_seen")), float(entry["loss"]))
        for entry in state["log_history"]
        if "loss" in entry
    ]


def _integer(value: Any) -> int | None:
    return None if value is None else int(value)


def curve_of_run(folder: Path) -> list[Point]:
    """The learning curve of a run: from its ledger, or from the trainer's log when LLaMA-Factory trained it.

    Raises:
        UserError: neither holds a training loss.
    """
    ledger = folder / "ledger.jsonl"
    if ledger.is_file():
        points = curve_of_ledger(read_lines(ledger))
    else:
        points = curve_of_trainer_state(read_json(folder / "trainer_state.json"))
    if not points:
        raise UserError(f"{folder} logged no training loss: lower logging_steps")
    return points


def collect(
    run: Path, output: Path, cell: Mapping[str, Any], corpus: str, start: Mapping[str, Any] | None = None
) -> None:
    """Write ``curve.csv``, ``shares.csv``, ``run.json`` and the plan log of a finished run to ``output``.

    Args:
        run: the run directory.
        output: the cell's folder among the results.
        cell: experiment, method, model, scale and seed.
        corpus: fingerprint of the texts.
        start: coordinates of the cell whose model this one started from.

    Raises:
        UserError: the run is not completed, or lacks its manifest, config or losses.
    """
    manifest = read_json(run / "manifest.json")
    if manifest.get("status") != "completed":
        raise UserError(f"{run} is not completed: its manifest's status is {manifest.get('status')!r}")
    points = curve_of_run(run)
    if not (run / "config.yaml").is_file():
        raise UserError(f"{run} lacks config.yaml, which a run writes when it starts")
    output.mkdir(parents=True, exist_ok=True)
    write_table(output / "curve.csv", CURVE_COLUMNS, points)
    shares.write(shares.of_run(run), output / SHARES)
    if (run / PLAN_LOG).is_file() and (run / PLAN_LOG).stat().st_size:
        shutil.copyfile(run / PLAN_LOG, output / PLAN_LOG)
    # Its hash stands in the manifest: what was asked for can be compared with what a grid says today.
    config = yaml.safe_load((run / "config.yaml").read_text())
    content = {"cell": dict(cell), "start": start, "corpus": corpus, "config": config, "manifest": manifest}
    write_text(output / "run.json", json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
