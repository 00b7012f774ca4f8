import hashlib
import json
from pathlib import Path

import pytest
from prepare import prepare, stamp_of
from seal import (
    NotReadyError,
    corpus,
    fingerprint,
    hub_instructions,
    markov,
    model,
    packed,
    planted,
    run,
)

from dataflex.corpus.packed.card import MADE_BY, SCHEMA
from dataflex.corpus.packed.shards import file_of


def test_an_unchanged_run_is_kept_for_its_resume(tmp_path):
    folder = tmp_path / "run"
    assert prepare(folder, "a") is False
    (folder / "checkpoint-5").mkdir(parents=True)
    assert prepare(folder, "a") is False
    assert (folder / "checkpoint-5").is_dir()


def test_a_changed_run_starts_anew(tmp_path):
    folder = tmp_path / "run"
    prepare(folder, "a")
    (folder / "checkpoint-5").mkdir(parents=True)
    assert prepare(folder, "b") is True
    assert not folder.exists()
    assert prepare(folder, "b") is False


def test_a_run_of_unknown_origin_is_not_resumed(tmp_path):
    (tmp_path / "run/checkpoint-5").mkdir(parents=True)
    assert prepare(tmp_path / "run", "a") is True


def test_the_stamp_depends_on_config_and_inputs(tmp_path):
    for name, text in (("config", "1"), ("corpus", "2"), ("start", "3")):
        (tmp_path / name).write_text(text)
    config, others = tmp_path / "config", [tmp_path / "corpus", tmp_path / "start"]
    before = stamp_of(config, others)
    assert stamp_of(config, others) == before
    (tmp_path / "start").write_text("4")
    assert stamp_of(config, others) != before


def written(file: Path, text: str):
    """Write a file; the entry of a card for it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return {"sha256": hashlib.sha256(text.encode()).hexdigest()}


def finished_run(folder: Path, status="completed"):
    folder.mkdir()
    (folder / "manifest.json").write_text(
        json.dumps({"status": status, "config_hash": "h", "wall_seconds": 2})
    )
    (folder / "training_args.bin").write_text("not weights")
    (folder / "adapter_model.safetensors").write_text("w")
    return folder


def test_a_finished_run_is_sealed(tmp_path):
    assert run(finished_run(tmp_path / "run"), [])["config_hash"] == "h"


def test_an_unfinished_run_is_not_sealed(tmp_path):
    with pytest.raises(NotReadyError, match="'running'"):
        run(finished_run(tmp_path / "run", "running"), [])
    folder = finished_run(tmp_path / "empty")
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(NotReadyError, match="no model and no adapter"):
        run(folder, [])


def test_a_pretrained_models_weights_are_sealed(tmp_path):
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    untrained = model(tmp_path, [])
    (tmp_path / "model.safetensors").write_text("w")
    sealed = model(tmp_path, [])
    assert sealed == untrained | {"model.safetensors": hashlib.sha256(b"w").hexdigest()}


def test_a_missing_corpus_says_where_it_is_published(tmp_path):
    with pytest.raises(NotReadyError, match="somewhere/data"):
        corpus(tmp_path / "none", ["somewhere/data"])


def test_the_fingerprint_is_of_the_texts():
    card = {
        "domains": {"a": {"train": {"sha256": "1", "documents": 5}, "dropped": {"near": 1}}},
        "instructions": {"sha256": "2"},
        "questions": {"test": {"sha256": "3"}},
        "seed": 1,
    }
    same = json.loads(json.dumps(card))
    same["seed"] = 2
    same["domains"]["a"]["dropped"]["near"] = 7
    assert fingerprint(same) == fingerprint(card)
    for part, place in (("domains", ("a", "train")), ("questions", ("test",)), ("instructions", ())):
        other = json.loads(json.dumps(card))
        inner = other[part]
        for name in place:
            inner = inner[name]
        inner["sha256"] = "x"
        assert fingerprint(other) != fingerprint(card), part


def test_a_planted_pool_is_sealed_by_family_and_rows(tmp_path):
    folder = tmp_path / "pool"
    folder.mkdir()
    card = {"family": "f", "data": {"planted": written(folder / "planted.jsonl", "p")}}
    (folder / "card.json").write_text(json.dumps(card))
    (folder / "dataset_info.json").write_text("")
    with pytest.raises(NotReadyError, match=r"planted\.json is missing"):
        planted(folder, [])
    (folder / "planted.json").write_text("{}")
    sealed = planted(folder, [])
    assert (sealed["fingerprint"], sealed["domains"]) == ("f", [])
    card["data"]["planted"] = written(folder / "planted.jsonl", "q")
    (folder / "card.json").write_text(json.dumps(card))
    assert planted(folder, [])["data"] != sealed["data"]


def test_a_corpus_of_chains_is_sealed_by_family_and_text(tmp_path):
    folder = tmp_path / "chains"
    splits = {split: written(folder / split / "a.jsonl", split) for split in ("train", "test")}
    card = {"family": "f", "domains": {"a": splits}}
    (folder / "dataset_info.json").write_text("")
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(NotReadyError, match=r"chains\.json is missing"):
        markov(folder, [])
    (folder / "chains.json").write_text("{}")
    sealed = markov(folder, [])
    assert (sealed["fingerprint"], sealed["domains"]) == ("f", ["a"])
    card["domains"]["a"]["train"] = written(folder / "train/a.jsonl", "other")
    (folder / "card.json").write_text(json.dumps(card))
    assert markov(folder, [])["data"] != sealed["data"]


def laid_out(folder: Path):
    """A packed corpus with the text and questions beside it; empty but for what identifies it."""
    questions = {
        part: written(folder / f"questions/{part}.jsonl", part)
        for part in ("validation", "validation_sft", "test")
    }
    parts = {"instructions": written(folder / "instructions.jsonl", "i"), "questions": questions}
    (folder / "dataset_info.json").write_text("")
    domains = {"a": {"test": written(folder / "test/a.jsonl", "t")}}
    (folder / "card.json").write_text(json.dumps({"domains": domains, **parts}))
    for split in ("train", "held_out"):
        shard(folder / "packed", split, split)
    card = {"made_by": MADE_BY, "schema": SCHEMA, "statistics": {"train": {"a": {}}, "held_out": {"a": {}}}}
    (folder / "packed/card.json").write_text(json.dumps(card))
    return folder


def shard(packed: Path, split: str, text: str):
    """The one shard of a domain in a split, with its index."""
    file = file_of(packed, split, "a", 0, "tokens")
    index = {"shards": [{"unit": 0, "sha256": {"tokens": written(file, text)["sha256"]}}]}
    (packed / split / "a" / "index.json").write_text(json.dumps(index))
    return file


def test_a_packed_corpus_is_sealed_by_its_shards_and_its_text(tmp_path):
    folder = laid_out(tmp_path / "corpus")
    before = packed(folder, [])
    assert before["domains"] == ["a"]
    shard(folder / "packed", "train", "other")
    assert packed(folder, [])["fingerprint"] != before["fingerprint"]
    (folder / "test/a.jsonl").unlink()
    with pytest.raises(NotReadyError, match=r"test/a.jsonl is missing"):
        packed(folder, [])
    (folder / "packed/card.json").unlink()
    with pytest.raises(NotReadyError, match=r"card.json is missing"):
        packed(folder, [])


def test_a_corpus_of_instructions_is_sealed(tmp_path):
    folder = laid_out(tmp_path / "corpus")
    assert hub_instructions(folder, [])["domains"] == []
    (folder / "questions/test.jsonl").unlink()
    with pytest.raises(NotReadyError, match=r"questions/test.jsonl is missing"):
        hub_instructions(folder, [])


def harvested(folder: Path):
    """A corpus of text."""
    splits = ("train", "validation", "test")
    card = {
        "domains": {"a": {split: written(folder / f"{split}/a.jsonl", split) for split in splits}},
        "instructions": written(folder / "instructions.jsonl", "i"),
        "questions": {"source": "packaged", "test": written(folder / "questions/test.jsonl", "q")},
    }
    (folder / "dataset_info.json").write_text("{}")
    (folder / "card.json").write_text(json.dumps(card))
    return folder


@pytest.mark.parametrize(
    ("make", "kind", "file"),
    [
        (harvested, corpus, "train/a.jsonl"),
        (harvested, corpus, "instructions.jsonl"),
        (harvested, corpus, "questions/test.jsonl"),
        (laid_out, hub_instructions, "instructions.jsonl"),
        (laid_out, packed, "test/a.jsonl"),
    ],
)
def test_a_file_that_its_card_was_not_written_for_is_not_sealed(tmp_path, make, kind, file):
    folder = make(tmp_path / "corpus")
    assert kind(folder, [])
    # Cut off, as by a full disk or a second job that was removing it.
    (folder / file).write_text("")
    with pytest.raises(NotReadyError, match=f"{file} is not the file that card.json.*make the corpus again"):
        kind(folder, [])


def test_a_shard_that_its_index_was_not_written_for_is_not_sealed(tmp_path):
    folder = laid_out(tmp_path / "corpus")
    file_of(folder / "packed", "train", "a", 0, "tokens").write_text("cut")
    with pytest.raises(NotReadyError, match="another content than when it was built"):
        packed(folder, [])
