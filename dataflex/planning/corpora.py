"""What is known of a grid's corpora: from their cards where they are made, else as the grid expects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataflex.errors import UserError
from dataflex.grid import corpus_dir, corpus_spec

BUILT = "build"
"""``made_by`` in the card of a corpus whose tokens are counted (``dataflex-cli corpus build``)."""


@dataclass(frozen=True)
class Corpus:
    """Sizes of a corpus; what nobody knows is None or empty."""

    says: str
    """Where the numbers come from."""
    there: bool = False
    exact: bool = False
    """Whether tokens were counted, not expected."""
    tokens: int | None = None
    """To train on, of all domains."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Sizes of the domains in any unit."""
    rows: int | None = None
    """Of the pool that is fine-tuned on."""
    row_tokens: float | None = None
    validation_rows: int | None = None
    validation_row_tokens: float | None = None
    questions: int | None = None
    question_tokens: float | None = None
    held_out_tokens: int = 0
    download_bytes: int = 0

    def domain_tokens(self) -> dict[str, int]:
        """Tokens of each domain; they add up to ``tokens`` exactly. Empty when the total is not known."""
        return divide(self.tokens, self.weights) if self.tokens is not None else {}


def divide(total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Divide a whole number in proportion, each part within one of exact and all together exact."""
    whole = sum(weights.values())
    exact = {name: total * weight / whole for name, weight in weights.items()}
    parts = {name: int(value) for name, value in exact.items()}
    left = total - sum(parts.values())
    for name in sorted(exact, key=lambda name: (parts[name] - exact[name], name))[:left]:
        parts[name] += 1
    return parts


def read_corpus(grid: Mapping[str, Any], root: str, name: str) -> Corpus:
    """Return what is known of a corpus of the grid.

    Args:
        grid: see ``dataflex.grid.load``.
        root: the rung's folder.
        name: of the corpus, with its seed where each seed draws its own.

    Raises:
        UserError: its card can't be read.
    """
    spec = corpus_spec(grid, name)
    expected = {"says": "nothing is known before it is made", **spec.get("expected", {})}
    weights = expected.pop("proportions", {})
    folder = Path(corpus_dir(grid, root, name))
    counted: dict[str, Any] = {}
    # Of a packed corpus the first holds the text that is evaluated on, the second what is trained on.
    for card in (folder / "card.json", folder / "packed" / "card.json"):
        if card.is_file():
            counted |= {"there": True, **read_card(card)}
    return Corpus(**{**expected, "weights": weights, **counted})


def read_card(file: Path) -> dict[str, Any]:
    """Return what a corpus's card says, in the names of ``Corpus``.

    Raises:
        UserError: it is damaged.
    """
    try:
        card: dict[str, Any] = json.loads(file.read_text())
    except json.JSONDecodeError as error:
        raise UserError(f"{file} is damaged: {error}") from None
    if card.get("made_by") == BUILT:
        splits = card["statistics"]
        tokens = {domain: int(row["tokens"]) for domain, row in splits["train"].items()}
        held_out = sum(int(row["tokens"]) for row in splits.get("held_out", {}).values())
        return {
            "says": f"counted: {file}",
            "exact": True,
            "tokens": sum(tokens.values()),
            "weights": tokens,
            "held_out_tokens": held_out,
        }
    counted: dict[str, Any] = {"says": f"rows and sizes counted: {file}; tokens as expected"}
    sizes = {
        domain: float(entry["train"].get("bytes") or entry["train"]["documents"])
        for domain, entry in card.get("domains", {}).items()
        if "train" in entry
    }
    if sizes:
        counted["weights"] = sizes
    if "instructions" in card:
        counted["rows"] = int(card["instructions"]["rows"])
    if "planted" in card.get("data", {}):
        counted["rows"] = int(card["data"]["planted"]["rows"])
        counted["validation_rows"] = int(card["data"]["target_validation"]["rows"])
    if "questions" in card:
        counted["questions"] = int(card["questions"]["test"]["questions"])
        counted["validation_rows"] = int(card["questions"]["validation_sft"]["rows"])
    return counted
