"""Rows of instruction, input and output: from a file, or from a folder with ``dataset_info.json``.

Needs nothing but the standard library: other environments read it too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from efficiency.conversations import FORM, first_exchange

NAME = "instructions"
"""Data set that a folder is asked for."""
COLUMNS = {"instruction": "prompt", "input": "query", "output": "response"}
"""Our names, and LLaMA-Factory's, of the columns of an alpaca data set."""
FORMS = ("alpaca", FORM)


def read(data: Path) -> list[dict[str, str]]:
    """Return all rows of a file of JSON or JSON lines, or of a corpus's data set ``instructions``.

    Of a conversation that is the first question and its answer.
    """
    entry: dict[str, Any] = {}
    names = dict.fromkeys(COLUMNS, "")
    if data.is_dir():
        data, entry = _found(data)
        names = {ours: entry.get("columns", {}).get(theirs, "") for ours, theirs in COLUMNS.items()}
    content = data.read_text()
    lines = data.suffix == ".jsonl"
    rows = [json.loads(line) for line in content.split("\n") if line] if lines else json.loads(content)
    if entry.get("formatting") == FORM:
        return [
            first_exchange(row, entry, f"{data}, row {number}") for number, row in enumerate(rows, start=1)
        ]
    return [{ours: row.get(theirs or ours) or "" for ours, theirs in names.items()} for row in rows]


def _found(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Return the file of the data set and its entry."""
    about = folder / "dataset_info.json"
    if not about.is_file():
        raise SystemExit(f"{folder} has no dataset_info.json: name a file of rows")
    entry: dict[str, Any] = json.loads(about.read_text()).get(NAME, {})
    if not isinstance(entry.get("file_name"), str) or entry.get("formatting", "alpaca") not in FORMS:
        raise SystemExit(
            f"{about} must name a file `{NAME}` of form {' or '.join(FORMS)}: file_name, and columns if they "
            "differ"
        )
    return folder / entry["file_name"], entry
