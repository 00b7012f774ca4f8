import json
import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dataflex.watching.tails import last_words, modified, number, read_object, read_objects

LINES = [{"step": 1, "name": "Straße ✓"}, {"step": 2, "x": [1.5, None, {"y": "\n"}]}, {"step": 3}]
TEXT = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in LINES).encode()


@pytest.mark.parametrize("cut", range(len(TEXT) + 1))
def test_a_file_cut_anywhere_gives_its_whole_lines(tmp_path: Path, cut: int) -> None:
    file = tmp_path / "log.jsonl"
    file.write_bytes(TEXT[:cut])
    objects, whole = read_objects(file)
    assert whole
    # A line whose last brace is there counts, though its end of line is not yet written.
    ends = [len(b"\n".join(TEXT.split(b"\n")[: i + 1])) for i in range(3)]
    assert objects == LINES[: sum(end <= cut for end in ends)]


@given(last_bytes=st.integers(1, 400))
def test_the_end_of_a_file_is_its_last_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, last_bytes: int
) -> None:
    file = tmp_path_factory.getbasetemp() / "tail.jsonl"
    file.write_bytes(TEXT)
    objects, whole = read_objects(file, last_bytes)
    assert whole == (last_bytes >= len(TEXT))
    assert objects == LINES[len(LINES) - len(objects) :]
    lengths = [len(line) + 1 for line in TEXT.rstrip().split(b"\n")]
    # The line that is met in its middle is passed over, and so is one that is met at its very beginning.
    fitting = sum(sum(lengths[index:]) < last_bytes for index in range(3))
    assert len(objects) == (3 if whole else fitting)


def test_no_more_than_the_end_is_read(tmp_path: Path) -> None:
    """A file of a terabyte, nearly all of it a hole."""
    file = tmp_path / "huge.jsonl"
    with file.open("wb") as stream:
        stream.seek(10**12)
        stream.write(b"\n" + TEXT)
    assert read_objects(file, 200) == (LINES, False)
    assert last_words(file) == json.dumps(LINES[2])


@given(st.binary(max_size=200))
@example(b"\x00 \x00")
def test_any_bytes_are_read(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any"
    file.write_bytes(content)
    assert all(isinstance(line, dict) for line in read_objects(file)[0])
    said = last_words(file)
    assert said is None or (said.isprintable() and said == said.strip())
    assert read_object(file) is None or isinstance(read_object(file), dict)


def test_what_is_missing_or_a_folder_is_empty(tmp_path: Path) -> None:
    for file in (tmp_path / "nothing", tmp_path, tmp_path / "a" / "b"):
        assert read_objects(file) == ([], True)
        assert read_object(file) is None
        assert last_words(file) is None
    assert modified(tmp_path / "nothing") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("one\ntwo\n\n  \n", "two"),
        ("error: no space left\nTraceback\n  line 3\n", "error: no space left"),
        ("error: first\nerror: second\nbye\n", "error: second"),
        (
            "dataflex-cli: dataset: there is no such file\n[W] torchrun\n",
            "dataflex-cli: dataset: there is no such file",
        ),
        ("10%|#  \r 50%|###\r100%|######\r", "100%|######"),
        ("\x1b[31mred\x1b[0m\n", "[31mred[0m"),
        ("", None),
        ("\n\n", None),
    ],
)
def test_what_a_log_says_last(tmp_path: Path, text: str, said: str | None) -> None:
    (tmp_path / "log").write_text(text)
    assert last_words(tmp_path / "log") == said


def test_the_latest_of_some_files(tmp_path: Path) -> None:
    for name, when in (("a", 100), ("b", 300), ("c", 200)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (when, when))
    assert modified(*(tmp_path / name for name in "abcd")) == 300


def test_numbers_are_finite_numbers() -> None:
    assert [number(value) for value in (3, 2.5, True, "4", None, float("nan"), float("inf"), 10**400)] == [
        3.0,
        2.5,
        *[None] * 6,
    ]
