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
    card = {"family": "f", "data": {"planted": {"rows": 3, "sha256": "p"}}}
    (folder / "card.json").write_text(json.dumps(card))
    for name in ("planted.jsonl", "dataset_info.json"):
        (folder / name).write_text("")
    with pytest.raises(NotReadyError, match=r"planted\.json is missing"):
        planted(folder, [])
    (folder / "planted.json").write_text("{}")
    sealed = planted(folder, [])
    assert (sealed["fingerprint"], sealed["domains"]) == ("f", [])
    card["data"]["planted"]["sha256"] = "q"
    (folder / "card.json").write_text(json.dumps(card))
    assert planted(folder, [])["data"] != sealed["data"]


def test_a_corpus_of_chains_is_sealed_by_family_and_text(tmp_path):
    folder = tmp_path / "chains"
    card = {"family": "f", "domains": {"a": {split: {"sha256": split} for split in ("train", "test")}}}
    for name in ("train/a.jsonl", "test/a.jsonl", "dataset_info.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(NotReadyError, match=r"chains\.json is missing"):
        markov(folder, [])
    (folder / "chains.json").write_text("{}")
    sealed = markov(folder, [])
    assert (sealed["fingerprint"], sealed["domains"]) == ("f", ["a"])
    card["domains"]["a"]["train"]["sha256"] = "other"
    (folder / "card.json").write_text(json.dumps(card))
    assert markov(folder, [])["data"] != sealed["data"]


def laid_out(folder: Path):
    """A packed corpus with the text and questions beside it; empty but for what identifies it."""
    files = ("dataset_info.json", "test/a.jsonl", "instructions.jsonl")
    for name in (*files, *(f"questions/{part}.jsonl" for part in ("validation", "validation_sft", "test"))):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    parts = {"instructions": {"sha256": "i"}, "questions": {"test": {"sha256": "q"}}}
    (folder / "card.json").write_text(json.dumps({"domains": {"a": {"test": {"sha256": "t"}}}, **parts}))
    for split in ("train", "held_out"):
        (folder / "packed" / split / "a").mkdir(parents=True)
        (folder / "packed" / split / "a" / "index.json").write_text(json.dumps({"sha256": split}))
    statistics = {"train": {"a": {}}, "held_out": {"a": {}}}
    (folder / "packed/card.json").write_text(json.dumps({"statistics": statistics}))
    return folder


def test_a_packed_corpus_is_sealed_by_its_shards_and_its_text(tmp_path):
    folder = laid_out(tmp_path / "corpus")
    before = packed(folder, [])
    assert before["domains"] == ["a"]
    (folder / "packed/train/a/index.json").write_text('{"sha256": "other"}')
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
