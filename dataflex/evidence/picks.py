"""Marking a selection on a planted pool: how many of the rows it picked are of the classes it should pick."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataflex.errors import UserError
from dataflex.evidence.files import read_table, write_table, write_text
from dataflex.evidence.results import PICKS, SELECTION, read_json, read_lines

SCHEMA = 1
TRUTH = "planted.json"
COLUMNS = ("step", "id", "planted")


@dataclass(frozen=True)
class Picked:
    """The rows of one decision: ids in the order of the selection; a row may come more than once."""

    step: int
    ids: tuple[int, ...]


def read_truth(corpus: Path) -> list[str]:
    """The class of every row of a planted pool, by row id.

    Raises:
        UserError: the corpus is no planted pool.
    """
    content = read_json(corpus / TRUTH)
    try:
        return [str(name) for name in content["rows"]]
    except (KeyError, TypeError):
        raise UserError(f"{corpus / TRUTH} lacks the rows' classes") from None


def read_picks(run: Path) -> list[Picked]:
    """The decisions of a selector, in their order, from a run directory.

    Raises:
        UserError: the run selected nothing, or the ids of a decision are missing.
    """
    picked = []
    for line in read_lines(run / "plan_log.jsonl"):
        if line.get("decision") != "select" or "ids" not in line:
            continue
        file = run / line["ids"]
        if not file.is_file():
            raise UserError(f"{file} is missing: the plan log names it")
        picked.append(Picked(int(line["step"]), tuple(np.load(file, allow_pickle=False).tolist())))
    if not picked:
        raise UserError(f"{run} selected nothing: its plan log has no decision of a selector")
    return picked


def summary(
    truth: Mapping[str, int], decisions: Mapping[int, Sequence[str]], target: Sequence[str], scored: int
) -> dict[str, Any]:
    """What ``selection.json`` says of some decisions.

    Args:
        truth: rows of the pool by class.
        decisions: the classes that were picked, by step.
        target: classes that the method should pick.
        scored: which decision counts, as an index into them; -1: the last.

    Raises:
        UserError: the target names a class that the pool lacks, or there is no such decision.
    """
    unknown = sorted(set(target) - set(truth))
    if unknown or not target:
        raise UserError(f"target: the pool has no class {unknown}; it has {', '.join(sorted(truth))}")
    if not -len(decisions) <= scored < len(decisions):
        raise UserError(f"decision {scored} is to be scored, but the run made {len(decisions)}")
    steps = sorted(decisions)
    classes = Counter(decisions[steps[scored]])
    size = classes.total()
    return {
        "schema": SCHEMA,
        "target": sorted(target),
        "pool": dict(sorted(truth.items())),
        "base_rate": sum(truth[name] for name in target) / sum(truth.values()),
        "step": steps[scored],
        "n": size,
        "precision": sum(classes[name] for name in target) / size,
        "shares": {name: classes[name] / size for name in sorted(truth)},
        "decisions": [
            {"step": step, "n": len(names), "classes": dict(sorted(Counter(names).items()))}
            for step, names in sorted(decisions.items())
        ],
    }


def mark(run: Path, corpus: Path, output: Path, target: Sequence[str], scored: int = -1) -> dict[str, Any]:
    """Write ``picks.csv`` and, last, ``selection.json`` of a finished run to ``output``.

    Args:
        run: the run directory.
        corpus: folder of the planted pool that it was trained on.
        output: the cell's folder among the results.
        target: see ``summary``.
        scored: see ``summary``.

    Returns:
        What selection.json holds.

    Raises:
        UserError: run or corpus is not as it should be, or an id lies outside of the pool.
    """
    truth, picked = read_truth(corpus), read_picks(run)
    lines: list[tuple[int, int, str]] = []
    decisions: dict[int, list[str]] = {}
    for decision in picked:
        if not all(0 <= row < len(truth) for row in decision.ids):
            raise UserError(f"{run} picked rows that {corpus} does not have: it was trained on another pool")
        decisions[decision.step] = [truth[row] for row in decision.ids]
        lines += [(decision.step, row, truth[row]) for row in decision.ids]
    content = summary(Counter(truth), decisions, target, scored)
    output.mkdir(parents=True, exist_ok=True)
    (output / SELECTION).unlink(missing_ok=True)
    write_table(output / PICKS, COLUMNS, lines)
    write_text(output / SELECTION, json.dumps(content, indent=2) + "\n")
    return content


def read_outcomes(file: Path) -> dict[int, list[tuple[int, str]]]:
    """Row ids and classes by step, from ``picks.csv``.

    Raises:
        UserError: the header or a number is not as it should be.
    """
    found: dict[int, list[tuple[int, str]]] = {}
    for step, row, name in read_table(
        file, COLUMNS, lambda line: (int(line["step"]), int(line["id"]), line["planted"])
    ):
        found.setdefault(step, []).append((row, name))
    return found
