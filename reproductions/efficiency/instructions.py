"""Rows of instruction, input and output: from a file, or from a folder with ``dataset_info.json``.

Needs nothing but the standard library: other environments read it too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NAME = "instructions"
"""Data set that a folder is asked for."""
COLUMNS = {"instruction": "prompt", "input": "query", "output": "response"}
"""Our names, and LLaMA-Factory's, of the columns of an alpaca data set."""


def read(data: Path) -> list[dict[str, str]]:
    """Return all rows of a file of JSON or JSON lines, or of a corpus's data set ``instructions``."""
    names = dict.fromkeys(COLUMNS, "")
    if data.is_dir():
        data, named = _found(data)
        names = {ours: named.get(theirs, "") for ours, theirs in COLUMNS.items()}
    content = data.read_text()
    lines = data.suffix == ".jsonl"
    rows = [json.loads(line) for line in content.split("\n") if line] if lines else json.loads(content)
    return [{ours: row.get(theirs or ours) or "" for ours, theirs in names.items()} for row in rows]


def _found(folder: Path) -> tuple[Path, dict[str, str]]:
    """Return the file of the data set and its names of columns."""
    about = folder / "dataset_info.json"
    if not about.is_file():
        raise SystemExit(f"{folder} has no dataset_info.json: name a file of rows")
    entry: dict[str, Any] = json.loads(about.read_text()).get(NAME, {})
    if not isinstance(entry.get("file_name"), str) or entry.get("formatting", "alpaca") != "alpaca":
        raise SystemExit(f"{about} must name an alpaca file `{NAME}`: file_name, and columns if they differ")
    return folder / entry["file_name"], entry.get("columns", {})
