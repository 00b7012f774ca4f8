from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from dataflex.corpus.read import read
from dataflex.errors import UserError


def line(text: str, name: str = "RedPajamaC4") -> str:
    return json.dumps({"text": text, "meta": {"redpajama_set_name": name}}) + "\n"


def text_of(number: int) -> str:
    chooser = random.Random(number)
    return " ".join(f"w{chooser.randrange(100_000)}" for _ in range(50))


def write(path: Path, numbers: range, name: str = "RedPajamaC4") -> Path:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(line(text_of(number), name) for number in numbers)
    return path


def found(corpus: Path, split: str, domain: str) -> list[str]:
    lines = (corpus / split / f"{domain}.jsonl").read_text().splitlines()
    return [json.loads(row)["text"] for row in lines]


def make(files: list[Path], output: Path, **options) -> dict:
    return read(files, output, instructions_per_kind=1, quiet=True, **options)


def test_one_domain_a_set_name(tmp_path):
    path = write(tmp_path / "a.jsonl", range(60))
    write(path, range(100, 130), "Stack Exchange/en")
    card = make([path], tmp_path / "corpus")
    assert set(card["domains"]) == {"RedPajamaC4", "Stack_Exchange_en"}
    for name, numbers in (("RedPajamaC4", range(60)), ("Stack_Exchange_en", range(100, 130))):
        splits = [found(tmp_path / "corpus", split, name) for split in ("train", "validation", "test")]
        assert all(splits)
        assert sorted(text for split in splits for text in split) == sorted(map(text_of, numbers))
    info = json.loads((tmp_path / "corpus" / "dataset_info.json").read_text())
    assert info["RedPajamaC4"] == {"file_name": "train/RedPajamaC4.jsonl", "columns": {"prompt": "text"}}


def test_order_of_the_lines_does_not_change_the_split(tmp_path):
    forward = write(tmp_path / "a.jsonl", range(60))
    (tmp_path / "b.jsonl").write_text("".join(reversed(forward.read_text().splitlines(keepends=True))))
    make([forward], tmp_path / "one")
    make([tmp_path / "b.jsonl"], tmp_path / "two")
    for split in ("train", "validation", "test"):
        one, two = (set(found(tmp_path / name, split, "RedPajamaC4")) for name in ("one", "two"))
        assert one == two


def test_own_held_out_files_are_kept_and_win_over_train(tmp_path):
    train = write(tmp_path / "train.jsonl", range(40))
    held_out = write(tmp_path / "validation.jsonl", range(30, 50))
    test = write(tmp_path / "test.jsonl", range(45, 60))
    card = make([train], tmp_path / "corpus", validation=[held_out], test=[test])
    corpus = tmp_path / "corpus"
    assert found(corpus, "test", "RedPajamaC4") == [text_of(number) for number in range(45, 60)]
    assert found(corpus, "validation", "RedPajamaC4") == [text_of(number) for number in range(30, 45)]
    assert found(corpus, "train", "RedPajamaC4") == [text_of(number) for number in range(30)]
    assert card["domains"]["RedPajamaC4"]["dropped"]["exact_duplicates"] == 15


def test_only_a_validation_file(tmp_path):
    train = write(tmp_path / "train.jsonl", range(60))
    held_out = write(tmp_path / "validation.jsonl", range(100, 110))
    make([train], tmp_path / "corpus", validation=[held_out])
    assert len(found(tmp_path / "corpus", "validation", "RedPajamaC4")) == 10
    counts = [len(found(tmp_path / "corpus", split, "RedPajamaC4")) for split in ("train", "test")]
    assert sum(counts) == 60
    assert 0 < counts[1] < 20


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{oops\n", r"a\.jsonl:3: not valid JSON"),
        ("[1]\n", r"a\.jsonl:3: not a JSON object"),
        ('{"meta": {"redpajama_set_name": "x"}}\n', r'a\.jsonl:3: "text" is missing'),
        ('{"text": 3, "meta": {"redpajama_set_name": "x"}}\n', r'a\.jsonl:3: "text" is missing'),
        ('{"text": "t"}\n', r'a\.jsonl:3: "meta" has no "redpajama_set_name"'),
        (line("t", "//"), "no letter or digit"),
    ],
)
def test_bad_lines_are_named(tmp_path, bad, message):
    path = write(tmp_path / "a.jsonl", range(2))
    with path.open("a") as file:
        file.write(bad)
    with pytest.raises(UserError, match=message):
        make([path], tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


def test_missing_and_empty_files(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        make([tmp_path / "none.jsonl"], tmp_path / "corpus")
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(UserError, match="no documents"):
        make([tmp_path / "empty.jsonl"], tmp_path / "corpus")
    (tmp_path / "latin.jsonl").write_bytes(line("t").encode() + b'{"text": "\xe9"}\n')
    with pytest.raises(UserError, match="UTF-8"):
        make([tmp_path / "latin.jsonl"], tmp_path / "corpus")


def test_too_few_documents(tmp_path):
    path = write(tmp_path / "a.jsonl", range(2))
    with pytest.raises(UserError, match="RedPajamaC4 has no document for its validation split"):
        make([path], tmp_path / "corpus")
