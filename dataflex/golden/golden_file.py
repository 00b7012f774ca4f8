"""What is recorded of a golden run: a JSON file, one line a quantity, made to be read in a review."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataflex.errors import UserError
from dataflex.evidence.files import write_text
from dataflex.golden.entry import Entry

SCHEMA = 1
FOLDER = Path("reproductions/golden")
Run = Mapping[str, Entry]
"""A run: its quantities by name."""


@dataclass(frozen=True)
class Tolerance:
    """How far a quantity may be from what is recorded, on another platform."""

    allowed: float = 0.0
    """Of numbers: the largest difference of any of ``Entry.values``."""
    spread: float = 0.0
    """Of numbers: the largest difference that was seen among the repeated runs."""
    varies: bool = False
    """Whether decisions, or how many numbers there are, differed among the repeated runs."""


@dataclass(frozen=True)
class Golden:
    """What is recorded of one component."""

    label: str
    params: dict[str, Any]
    platform: dict[str, Any]
    """Where it was recorded: ``platforms.fingerprint``."""
    repeats: list[str]
    """Names of the repeated runs that tolerances come from."""
    entries: dict[str, Entry]
    tolerances: dict[str, Tolerance] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write the file, whole or not at all."""
        head = {
            "schema": SCHEMA,
            "component": self.label,
            "params": self.params,
            "platform": self.platform,
            "repeats": self.repeats,
        }
        lines = [f" {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
        rows = []
        for name, entry in sorted(self.entries.items()):
            known = self.tolerances[name]
            record = entry.as_dict()
            if entry.kind == "numbers":
                record |= {"tolerance": known.allowed, "spread": known.spread}
            if known.varies:
                record["varies"] = True
            rows.append(f"  {json.dumps(name)}: {json.dumps(record, ensure_ascii=False)}")
        text = "{\n" + "\n".join(lines) + '\n "entries": {\n' + ",\n".join(rows) + "\n }\n}\n"
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / f"{self.label}.json", text)


def read_golden(folder: Path, label: str) -> Golden | None:
    """Read what is recorded of a component; None if nothing is.

    Raises:
        UserError: the file is malformed, or of another version.
    """
    file = folder / f"{label}.json"
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise UserError(f"{file} has schema {content['schema']}, not {SCHEMA}: record it anew")
        entries = {name: Entry.from_dict(record) for name, record in content["entries"].items()}
        tolerances = {name: _tolerance(record) for name, record in content["entries"].items()}
        return Golden(
            content["component"],
            content["params"],
            content["platform"],
            content["repeats"],
            entries,
            tolerances,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{file} is no golden run ({type(error).__name__}: {error}): record it anew"
        ) from None


def _tolerance(record: Mapping[str, Any]) -> Tolerance:
    numbers = record["kind"] == "numbers"
    return Tolerance(
        record["tolerance"] if numbers else 0.0,
        record["spread"] if numbers else 0.0,
        bool(record.get("varies", False)),
    )


def labels(folder: Path) -> Sequence[str]:
    """Return the components of which something is recorded."""
    return sorted(file.stem for file in folder.glob("*.json"))
