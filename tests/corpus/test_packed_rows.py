"""Rows of any length out of memory-mapped shards."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from dataflex.corpus.packed.build import build
from dataflex.corpus.packed.rows import _MOST_OPEN, PackedRows, TokenStream, domains_of
from dataflex.corpus.packed.vocabulary import load_tokenizer
from dataflex.errors import UserError
from dataflex.signals.scores import row_keys

from .packing import texts, write


@pytest.fixture(scope="module")
def built(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    every = texts(300)
    every[5] = (every[5][0], "padding <|endoftext|> in the text <|endoftext|>")
    write(folder / "a.jsonl", every)
    build(
        [str(folder / "a.jsonl")],
        folder / "corpus",
        tokenizer=str(tiny / "model"),
        unit_bytes=9_000,
        held_out=0.1,
        quiet=True,
        processes=2,
    )
    return folder / "corpus"


def streams(folder: Path) -> list[TokenStream]:
    return [TokenStream(folder, domain) for domain in domains_of(folder)]


def flat(stream: TokenStream) -> np.ndarray:
    """All tokens, read from the files by hand."""
    files = sorted((stream.folder / stream.split / stream.domain).glob("*.tokens"))
    assert len(files) > 1
    return np.concatenate([np.frombuffer(file.read_bytes(), "<u2") for file in files])


def test_a_corpus_of_another_schema_is_not_read(built, tmp_path):
    card = json.loads((built / "card.json").read_text())
    (tmp_path / "card.json").write_text(json.dumps(card | {"schema": 2}))
    with pytest.raises(UserError, match=r"built by another version of dataflex .* build it again"):
        domains_of(tmp_path)


def test_few_files_are_open_however_many_there_are(tiny, tmp_path):
    """A corpus of SlimPajama's size has some 14,000, and a process may often open 1,024."""
    write(tmp_path / "a.jsonl", texts(400))
    options = {"tokenizer": str(tiny / "model"), "unit_bytes": 400, "quiet": True, "processes": 2}
    build([str(tmp_path / "a.jsonl")], tmp_path / "corpus", **options)
    own = streams(tmp_path / "corpus")
    files = list((tmp_path / "corpus/train").glob("*/*.tokens"))
    assert len(files) > 3 * _MOST_OPEN
    rows = PackedRows(own, 16)
    before = len(os.listdir("/dev/fd"))
    order = np.random.default_rng(0).permutation(len(rows))
    found = {row: rows.tokens(row).tolist() for row in order.tolist()}
    assert len(os.listdir("/dev/fd")) - before <= len(own) * _MOST_OPEN
    ends = np.cumsum(rows.counts)
    first = flat(own[1])[:16].tolist()
    assert found[int(ends[0])] == first


@pytest.mark.parametrize("length", [1, 7, 64, 1000])
def test_rows_are_the_tokens_in_order(built, length):
    every = [flat(stream) for stream in streams(built)]
    rows = PackedRows(streams(built), length)
    expected = [part[: len(part) // length * length].reshape(-1, length) for part in every]
    assert rows.counts.tolist() == [len(part) for part in expected]
    expected = np.concatenate(expected)
    assert len(rows) == len(expected)
    chosen = range(len(rows)) if len(rows) < 3000 else range(0, len(rows), 37)
    for row in chosen:
        assert rows.tokens(row).tolist() == expected[row].tolist()
    assert rows[0] == {"input_ids": expected[0].tolist(), "attention_mask": [1] * length}
    for beyond in (-1, len(rows)):
        with pytest.raises(IndexError):
            rows[beyond]


def test_batches_of_columns(built):
    rows = PackedRows(streams(built), 50)
    batches = list(rows.select_columns(["input_ids"]).iter(batch_size=7))
    assert [row for batch in batches for row in batch["input_ids"]] == [row["input_ids"] for row in rows]


@pytest.mark.parametrize("ignored", [None, 0, 2, 5, 10_000])
@pytest.mark.parametrize("length", [1, 16, 90])
def test_loss_tokens(built, length, ignored):
    """Padding that the text holds (0), the end token (2), an ordinary token (5), one beyond the vocabulary."""
    rows = PackedRows(streams(built), length)
    expected = [
        int((rows.tokens(row)[1:] != ignored).sum()) if ignored is not None else length - 1
        for row in range(len(rows))
    ]
    assert rows.loss_tokens(ignored).tolist() == expected
    assert rows.lengths().tolist() == [length] * len(rows)


@pytest.fixture
def quoting(tiny: Path, tmp_path: Path) -> Path:
    """A corpus in which one document of a domain holds the text of the end token."""
    end_text = load_tokenizer(str(tiny / "model"))[1].end_text
    every = [(domain, text) for domain, text in texts(300) if domain == "RedPajamaC4"]
    every[40] = ("RedPajamaC4", f"this {end_text} ends nothing {end_text} here")
    write(tmp_path / "a.jsonl", every)
    build(
        [str(tmp_path / "a.jsonl")],
        tmp_path / "corpus",
        tokenizer=str(tiny / "model"),
        unit_bytes=3_000,
        held_out=0,
        quiet=True,
        processes=1,
    )
    return tmp_path / "corpus"


@pytest.mark.parametrize("length", [1, 16, 90])
@pytest.mark.parametrize("records", ["kept", "lost", "of others"])
def test_an_end_token_inside_a_document_is_searched_for_in_its_shard_alone(quoting, length, records):
    """And everywhere where the records of the units don't tell the shard, or are not those of the corpus."""
    units = quoting / "units"
    if records == "lost":
        shutil.rmtree(units)
    elif records == "of others":
        for path in units.iterdir():
            path.write_text(path.read_text().replace('"tokens": "', '"tokens": "0'))
    (stream,) = streams(quoting)
    end, shards = stream.vocabulary.end, len(stream._shards)
    assert stream.special[end] == sum(shard.record["documents"] for shard in stream._shards) + 2
    rows = PackedRows([stream], length)
    found = rows.loss_tokens(end).tolist()
    assert shards > 5
    assert len(stream._open) == (1 if records == "kept" else shards)
    assert found == [int((rows.tokens(row)[1:] != end).sum()) for row in range(len(rows))]


def test_a_token_inside_few_documents_is_searched_for_there_alone(built):
    every = streams(built)
    PackedRows(every, 16).loss_tokens(0)
    assert sum(len(stream._open) for stream in every) == 1


def test_opening_a_corpus_asks_for_each_shard_once(built, monkeypatch):
    asked: list[Path] = []
    stat = Path.stat
    monkeypatch.setattr(Path, "stat", lambda path, **more: asked.append(path) or stat(path, **more))
    every = streams(built)
    tokens = [path for path in asked if path.suffix == ".tokens"]
    assert len(tokens) == len(set(tokens)) == sum(len(stream._shards) for stream in every)


def test_equal_lengths_take_no_memory(built):
    rows = PackedRows(streams(built), 16)
    assert rows.lengths().strides == rows.loss_tokens(None).strides == (0,)


def test_a_first_token(built):
    plain, begun = PackedRows(streams(built), 20), PackedRows(streams(built), 20, first_token=1)
    assert begun[3]["input_ids"] == [1, *plain[3]["input_ids"][1:]]
    assert plain[3]["input_ids"][0] != 1


def test_keys_tell_places_apart(built):
    rows = PackedRows(streams(built), 20)
    keys = row_keys(rows)
    assert len(set(keys)) == len(rows)
    assert all(len(key) == 16 for key in keys)
    assert keys == row_keys(PackedRows(streams(built), 20))
    assert not set(keys) & set(row_keys(PackedRows(streams(built), 21)))
    one = PackedRows(streams(built)[1:2], 20)
    start = int(rows.counts[0])
    assert row_keys(one) == keys[start : start + len(one)]


def read_row(rows: PackedRows, row: int) -> list[int]:
    return rows[row]["input_ids"]


def test_another_process_maps_the_files_itself(built):
    rows = PackedRows(streams(built), 64)
    expected = [rows[row]["input_ids"] for row in (0, len(rows) - 1)]
    assert len(pickle.dumps(rows)) < 20_000
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.starmap(read_row, [(rows, 0), (rows, len(rows) - 1)]) == expected


def test_held_out_documents_are_read_alike(built):
    for domain in domains_of(built, "held_out"):
        stream = TokenStream(built, domain, "held_out")
        assert len(stream) > 0
        assert stream.tokens(len(stream) - 1, len(stream)).tolist() == [stream.vocabulary.end]


def test_no_corpus(tmp_path):
    with pytest.raises(UserError, match="make one with: dataflex-cli corpus build"):
        domains_of(tmp_path)
    (tmp_path / "build.json").write_text("{}")
    with pytest.raises(UserError, match="finish it with: dataflex-cli corpus build"):
        domains_of(tmp_path)
