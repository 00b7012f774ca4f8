"""Numbers that a paper has published: each with its source, and how it was measured as far as is known."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dataflex.errors import UserError

COLUMNS = (
    "table", "model", "scale", "method", "metric",
    "value", "source", "confidence", "protocol", "questions",
)  # fmt: skip
CONFIDENCES = ("high", "medium", "low")
PROTOCOLS = "protocols.yaml"
"""Beside the file of the numbers."""
Place = tuple[str, str, str, str, str]
"""Table, model, scale, method and metric, as the paper calls them."""


@dataclass(frozen=True)
class Protocol:
    """How numbers were measured.

    Attributes:
        name: what the numbers call it.
        known: parts that a source states.
        unknown: parts that decide about the number and that no source states.
        source: of what is known.
        question_set: SHA-256 of the file of test questions, as results state it in their own protocol; None
            where no source says which questions were asked, so that they may be others than ours.
    """

    name: str
    known: Mapping[str, str]
    unknown: tuple[str, ...]
    source: str
    question_set: str | None = None


@dataclass(frozen=True)
class Published:
    """One number of the paper.

    Attributes:
        place: where it stands.
        value: as published, in the paper's unit.
        source: who states it, see the README beside the file.
        confidence: high, medium or low.
        protocol: how it was measured.
        questions: that it rests on; None where no source states it or there are none.
    """

    place: Place
    value: float
    source: str
    confidence: str
    protocol: Protocol
    questions: int | None

    @property
    def id(self) -> str:
        """Its place as one word."""
        return "/".join(self.place)


def read(file: Path) -> dict[Place, Published]:
    """The numbers of a CSV, and the protocols beside it, by place.

    Raises:
        UserError: something is missing or malformed, or a number is given twice.
    """
    protocols = read_protocols(file.with_name(PROTOCOLS))
    if not file.is_file():
        raise UserError(f"{file} with the published numbers is not there: start at the repository's root")
    with file.open(newline="") as stream:
        reader = csv.DictReader(stream)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise UserError(f"{file} must have the columns {','.join(COLUMNS)}")
        rows = list(reader)
    found: dict[Place, Published] = {}
    for number, row in enumerate(rows, start=2):
        try:
            one = _published(row, protocols)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{file}, line {number}: {error}") from None
        if one.place in found:
            raise UserError(f"{file}, line {number}: {one.id} is given twice")
        found[one.place] = one
    return found


def _published(row: Mapping[str, str], protocols: Mapping[str, Protocol]) -> Published:
    value = float(row["value"])
    if not math.isfinite(value):
        raise ValueError(f"{row['value']} is no number")
    if not row["source"] or row["confidence"] not in CONFIDENCES:
        raise ValueError(f"a number needs a source and a confidence ({', '.join(CONFIDENCES)})")
    if row["protocol"] not in protocols:
        raise ValueError(f"protocol {row['protocol']!r} is not in {PROTOCOLS}")
    return Published(
        (row["table"], row["model"], row["scale"], row["method"], row["metric"]),
        value,
        row["source"],
        row["confidence"],
        protocols[row["protocol"]],
        int(row["questions"]) if row["questions"] else None,
    )


def read_protocols(file: Path) -> dict[str, Protocol]:
    """The protocols of a YAML file, by name.

    Raises:
        UserError: it is missing or malformed.
    """
    try:
        content: Any = yaml.safe_load(file.read_text())
        return {
            name: Protocol(
                name,
                dict(parts["known"]),
                tuple(parts["unknown"]),
                str(parts["source"]),
                parts.get("question_set"),
            )
            for name, parts in content["protocols"].items()
        }
    except FileNotFoundError:
        raise UserError(f"{file} is missing: it says how the published numbers were measured") from None
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{file} is malformed: {error}") from None
