from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from pathlib import Path

import pytest

from dataflex.corpus.domains import DOMAINS
from dataflex.corpus.harvest import harvest
from dataflex.errors import UserError

from .conftest import BUDGET

SPLITS = ("train", "validation", "test")


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def texts(corpus: Path, split: str) -> list[str]:
    return [row["text"] for path in sorted((corpus / split).glob("*.jsonl")) for row in rows(path)]


def runs(text: str) -> set[tuple[str, ...]]:
    found = re.findall(r"\w+", text.lower())
    return {tuple(found[start : start + 8]) for start in range(len(found) - 7)}


def test_layout_and_card(corpus):
    card = json.loads((corpus / "card.json").read_text())
    assert len(card["domains"]) == len(DOMAINS) >= 5
    for name, entry in card["domains"].items():
        for split in SPLITS:
            path = corpus / split / f"{name}.jsonl"
            found = rows(path)
            assert found
            assert entry[split]["documents"] == len(found)
            assert entry[split]["bytes"] == sum(len(row["text"].encode()) for row in found)
            assert entry[split]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
            assert {row["meta"]["redpajama_set_name"] for row in found} == {name}
        assert all(source["version"] for source in entry["sources"].values())
        assert entry["not_installed"] == []
        size = sum(entry[split]["bytes"] for split in SPLITS)
        assert 0.5 * BUDGET < size < BUDGET + 20_000
    for part in ("validation", "test", "validation_sft"):
        path = corpus / "questions" / f"{part}.jsonl"
        assert card["questions"][part]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_no_document_in_two_splits(corpus):
    seen = {split: {" ".join(text.split()).lower() for text in texts(corpus, split)} for split in SPLITS}
    assert sum(map(len, seen.values())) == sum(len(texts(corpus, split)) for split in SPLITS)
    assert len(set.union(*seen.values())) == sum(map(len, seen.values()))


def test_no_near_duplicate_across_splits(corpus):
    """Counted anew with whole runs in place of hashes."""
    known: set[tuple[str, ...]] = set()
    for split in SPLITS:
        documents = [runs(text) for text in texts(corpus, split)]
        if split != "train":
            assert max(len(found & known) / max(1, len(found)) for found in documents) <= 0.4
        known.update(*documents)


def test_pieces_of_one_file_stay_together(corpus):
    places = defaultdict(set)
    for split in SPLITS:
        for path in (corpus / split).glob("*.jsonl"):
            for row in rows(path):
                places[path.stem, row["meta"]["source"]].add(split)
    assert all(len(found) == 1 for found in places.values())


def test_questions_are_nowhere_else(corpus):
    trained_on = "\n".join(" ".join(text.split()) for split in SPLITS for text in texts(corpus, split))
    pool = (corpus / "instructions.jsonl").read_text(encoding="utf-8")
    validation = {row["question"] for row in rows(corpus / "questions" / "validation.jsonl")}
    for row in rows(corpus / "questions" / "test.jsonl"):
        question = row["question"]
        assert question not in validation
        if len(question) > 60:
            assert " ".join(question.split()) not in trained_on
            assert json.dumps(question, ensure_ascii=False)[1:-1] not in pool


def test_instruction_pool(corpus):
    pool = rows(corpus / "instructions.jsonl")
    kinds = defaultdict(int)
    for row in pool:
        assert row["instruction"]
        assert row["output"]
        kinds[row["kind"]] += 1
    assert len(kinds) >= 5
    assert max(kinds.values()) == 20
    assert len({(row["instruction"], row["input"]) for row in pool}) == len(pool)
    assert {row["output"] for row in pool if row["kind"] == "api_quiz"} <= set("ABCD")


def test_dataset_info_names_existing_files(corpus):
    info = json.loads((corpus / "dataset_info.json").read_text())
    assert set(info) == {domain.name for domain in DOMAINS} | {"instructions", "questions_validation"}
    for entry in info.values():
        first = rows(corpus / entry["file_name"])[0]
        assert set(entry["columns"].values()) <= set(first)


@pytest.mark.slow
def test_same_seed_gives_the_same_bytes(corpus, tmp_path):
    harvest(tmp_path / "again", bytes_per_domain=BUDGET, instructions_per_kind=20, quiet=True)
    first = {path.relative_to(corpus): path.read_bytes() for path in corpus.rglob("*.json*")}
    second = {
        path.relative_to(tmp_path / "again"): path.read_bytes()
        for path in (tmp_path / "again").rglob("*.json*")
    }
    assert first == second


def test_folder_in_use_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        harvest(tmp_path, quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
