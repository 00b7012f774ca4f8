"""A corpus of instructions and questions from published data sets, laid out as every corpus."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.progress import Progress

from dataflex.corpus.conversations import COLUMNS, turns_of
from dataflex.corpus.files import write_json, write_jsonl
from dataflex.corpus.given_rows import files_of, rows_of
from dataflex.corpus.layout import CARD, SCHEMA, require_new
from dataflex.corpus.questions import (
    Question,
    as_instruction,
    packaged_questions,
    question_of,
    split_questions,
)
from dataflex.errors import UserError

PACKAGED = "packaged"
"""Stands for the few questions that lm-eval's package brings along."""
MOST_DROPPED = 0.01
"""Share of rows without usable turns above which a data set is taken for another form."""

Parts = tuple[list[Question], list[Question]]


def given_questions(source: str, seed: int = 0) -> Parts:
    """Questions for prompts' examples, and questions to be asked.

    Args:
        source: folder of MMLU with files whose paths say dev and test; or "packaged".
        seed: splits the packaged ones.

    Raises:
        UserError: a split is missing, or a row is no question.
    """
    if source == PACKAGED:
        return split_questions(packaged_questions()[0], seed)
    folder = Path(source)
    parts: dict[str, list[Question]] = {"dev": [], "test": []}
    for path in files_of(folder):
        split = next((name for name in parts if name in path.relative_to(folder).as_posix()), None)
        if split:
            parts[split] += [question_of(row, where) for row, where in rows_of(path)]
    for split, found in parts.items():
        if not found:
            raise UserError(f"{source} holds no question in a file named {split}: give MMLU's {split} split")
    return parts["dev"], parts["test"]


def write_given_questions(output: Path, parts: Parts, source: str) -> dict[str, Any]:
    """Write both parts of the questions; returns the card's entry."""
    entry: dict[str, Any] = {"source": PACKAGED if source == PACKAGED else Path(source).name}
    for name, questions in zip(("validation", "test"), parts, strict=True):
        digest = write_jsonl(output / "questions" / f"{name}.jsonl", (one.row() for one in questions))
        entry[name] = {"questions": len(questions), "sha256": digest}
    return entry


def lay_out_instructions(
    train: Path,
    questions: str,
    output: Path,
    *,
    validation: Path | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> dict[str, Any]:
    """Make a corpus of instructions, without text of its own.

    Args:
        train: folder of a data set of instructions.
        questions: folder of MMLU, or "packaged".
        output: a folder that is absent or empty.
        validation: folder of rows that a selection aims at; None takes the questions' first part.
        seed: splits packaged questions.
        quiet: no progress bar.

    Returns:
        The card, also written to card.json as the last file.

    Raises:
        UserError: a data set has another form, or a file can't be read.
    """
    require_new(output)
    parts = given_questions(questions, seed)
    dropped: dict[str, int] = {}
    rows = list(_turns(train, dropped, quiet))
    aims = [
        {"conversations": turns_of(as_instruction(question)), "subject": question.subject}
        for question in parts[0]
    ]
    if validation is not None:
        aims = list(_turns(validation, dropped, quiet))
    card = {
        "schema": SCHEMA,
        "made_by": "instructions",
        "domains": {},
        "questions": {
            **write_given_questions(output, parts, questions),
            "validation_sft": {
                "rows": len(aims),
                "sha256": write_jsonl(output / "questions" / "validation_sft.jsonl", aims),
            },
        },
        "instructions": {
            "rows": len(rows),
            "dropped": dropped,
            "sha256": write_jsonl(output / "instructions.jsonl", rows),
        },
    }
    files = {"instructions": "instructions.jsonl", "questions_validation": "questions/validation_sft.jsonl"}
    info = {
        name: {"file_name": file, "formatting": "sharegpt", "columns": COLUMNS}
        for name, file in files.items()
    }
    write_json(output / "dataset_info.json", info)
    write_json(output / CARD, card)
    return card


def _turns(folder: Path, dropped: dict[str, int], quiet: bool) -> Iterator[dict[str, Any]]:
    """Rows of a data set in one form; counts those without usable turns."""
    kept = lost = 0
    first = "none"
    files = files_of(folder)
    with Progress(disable=quiet) as progress:
        for path in progress.track(files, description=f"reading {folder.name}"):
            for row, where in rows_of(path):
                turns = turns_of(row)
                if turns is None:
                    first = first if lost else where
                    lost += 1
                    continue
                kept += 1
                yield {"conversations": turns, **({"subject": row["subject"]} if "subject" in row else {})}
    dropped[folder.name] = lost
    if lost > MOST_DROPPED * (kept + lost) or not kept:
        raise UserError(
            f"{folder}: {lost} of {kept + lost} rows have neither instruction and output nor alternating "
            f"conversations or messages (first: {first}): it is no data set of instructions"
        )
