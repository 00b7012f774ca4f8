"""The folder of a corpus: domains by split, questions, instructions, dataset_info.json and card.json."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dataflex.corpus.documents import Document, words
from dataflex.corpus.files import write_json, write_jsonl
from dataflex.corpus.instructions import Instruction
from dataflex.corpus.packages import version_of
from dataflex.corpus.questions import NOTES, Question, as_instruction
from dataflex.corpus.splits import SPLITS, Split
from dataflex.errors import UserError

SCHEMA = 1
CARD = "card.json"

Domains = Mapping[str, Mapping[Split, Sequence[Document]]]


def require_new(output: Path) -> None:
    """Refuse a folder that holds something already: a corpus is never half overwritten.

    Raises:
        UserError: the folder exists and is not empty, or a file has its name.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"{output} exists and is not empty; choose another --output or remove it")


def require_documents(domains: Domains, hint: str) -> None:
    """Every domain needs at least one document in every split.

    Raises:
        UserError: one has none; `hint` says what to change.
    """
    if not domains:
        raise UserError(f"no documents were found; {hint}")
    for name, splits in domains.items():
        for split in SPLITS:
            if not splits.get(split):
                raise UserError(f"the domain {name} has no document for its {split} split; {hint}")


def write_domains(output: Path, domains: Domains) -> dict[str, dict[str, Any]]:
    """Write <split>/<domain>.jsonl; returns the card's entry of every domain."""
    entries: dict[str, dict[str, Any]] = {}
    for name, splits in domains.items():
        entries[name] = {}
        for split in SPLITS:
            documents = splits[split]
            rows = (
                {"text": document.text, "meta": {"redpajama_set_name": name, "source": document.source}}
                for document in documents
            )
            digest = write_jsonl(output / split / f"{name}.jsonl", rows)
            entries[name][split] = {
                "documents": len(documents),
                "bytes": sum(len(document.text.encode()) for document in documents),
                "words": sum(len(words(document.text)) for document in documents),
                "sha256": digest,
            }
    return entries


def write_questions(output: Path, validation: Sequence[Question], test: Sequence[Question]) -> dict[str, Any]:
    """Write the two parts and the instruction form of the validation part; returns the card's entry."""
    folder = output / "questions"
    return {
        "source": {
            "distribution": "lm_eval",
            "version": version_of("lm_eval"),
            "folder": "tasks/mmlu/flan_cot_fewshot",
        },
        "notes": NOTES,
        "validation": {
            "questions": len(validation),
            "sha256": write_jsonl(folder / "validation.jsonl", (question.row() for question in validation)),
        },
        "test": {
            "questions": len(test),
            "sha256": write_jsonl(folder / "test.jsonl", (question.row() for question in test)),
        },
        "validation_sft": {
            "rows": len(validation),
            "sha256": write_jsonl(folder / "validation_sft.jsonl", map(as_instruction, validation)),
        },
    }


def write_instructions(output: Path, pool: Sequence[Instruction]) -> dict[str, Any]:
    """Write the instruction pool; returns the card's entry."""
    kinds: dict[str, int] = {}
    for row in pool:
        kinds[row.kind] = kinds.get(row.kind, 0) + 1
    digest = write_jsonl(output / "instructions.jsonl", (row.row() for row in pool))
    return {"rows": len(pool), "kinds": dict(sorted(kinds.items())), "sha256": digest}


def write_dataset_info(output: Path, domains: Iterable[str]) -> None:
    """Write LLaMA-Factory's list of data sets: every domain, `instructions` and `questions_validation`."""
    info: dict[str, Any] = {
        name: {"file_name": f"train/{name}.jsonl", "columns": {"prompt": "text"}} for name in domains
    }
    alpaca = {"prompt": "instruction", "query": "input", "response": "output"}
    info["instructions"] = {"file_name": "instructions.jsonl", "columns": alpaca}
    info["questions_validation"] = {"file_name": "questions/validation_sft.jsonl", "columns": alpaca}
    write_json(output / "dataset_info.json", info)


def read_card(corpus: Path) -> dict[str, Any]:
    """The card of a corpus.

    Raises:
        UserError: there is none, so the corpus is absent or unfinished.
    """
    path = corpus / CARD
    if not path.is_file():
        raise UserError(
            f"{corpus} is not a corpus (it has no {CARD}); make one with: dataflex-cli corpus harvest"
        )
    card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return card


def read_texts(corpus: Path, split: Split, domain: str) -> Iterator[str]:
    """The texts of one domain of a corpus, in order."""
    with (corpus / split / f"{domain}.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["text"]
