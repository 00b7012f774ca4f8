import json
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dataflex.cli import app
from dataflex.corpus.planted import CLASSES, CLOSED, SUBTASKS, Design, make_pool, plant
from dataflex.errors import UserError

INSTRUCTIONS = [
    {"instruction": f"Explain `f{number}`.", "input": "", "output": f"It is {number}.", "kind": kind}
    for number in range(220)
    for kind in ("api_summary", "api_quiz")
]


def rows_of(pool, planted):
    return [row for row in pool if row["planted"] == planted]


def mark_of(row):
    return row["instruction"].split("?")[0], row["instruction"].split()[-1]


@pytest.fixture(scope="module")
def drawn():
    return make_pool(INSTRUCTIONS, 1)


def test_the_classes_have_their_sizes_and_no_order(drawn):
    pool, validation = drawn
    sizes = Design()
    assert Counter(row["planted"] for row in pool) == {name: getattr(sizes, name) for name in CLASSES}
    assert len(validation) == sizes.validation
    changes = sum(a["planted"] != b["planted"] for a, b in pairwise(pool))
    assert changes > len(pool) / 2


def test_the_last_word_decides_the_letter_and_corruption_breaks_it(drawn):
    pool, validation = drawn
    key = {mark_of(row): row["output"] for row in validation}
    assert len(key) == 8
    for subtask in SUBTASKS:
        own = [letter for (question, _), letter in key.items() if subtask.question.startswith(question)]
        assert sorted(own) == list("ABCD")
    for planted in ("relevant", "duplicated"):
        assert all(key[mark_of(row)] == row["output"] for row in rows_of(pool, planted))
    assert all(key[mark_of(row)] != row["output"] in "ABCD" for row in rows_of(pool, "corrupted"))


def test_letters_and_subtasks_are_balanced(drawn):
    pool, validation = drawn
    for rows in (validation, rows_of(pool, "relevant")):
        assert set(Counter(map(mark_of, rows)).values()) == {len(rows) // 8}
    assert Counter(row["subtask"] for row in validation) == {"stamp": 24, "lamp": 24}


def test_no_question_of_the_validation_set_is_in_the_pool(drawn):
    pool, validation = drawn
    asked = {row["instruction"] for row in validation}
    assert len(asked) == len(validation)
    assert not asked & {row["instruction"] for row in pool}


def test_copies_are_copies_and_everything_else_is_distinct(drawn):
    pool, _ = drawn
    copies = Counter((row["instruction"], row["output"]) for row in rows_of(pool, "duplicated"))
    assert list(copies.values()) == [Design().copies] * Design().originals
    assert sorted(letter for _, letter in copies) == list("ABCD")
    others = [row["instruction"] for row in pool if row["planted"] != "duplicated"]
    assert len(set(others)) == len(others)
    assert not set(others) & {question for question, _ in copies}


def test_learned_rows_share_one_answer_and_irrelevant_ones_are_real(drawn):
    pool, _ = drawn
    assert {row["output"] for row in rows_of(pool, "learned")} == {CLOSED}
    real = {row["instruction"]: row["output"] for row in INSTRUCTIONS if row["kind"] == "api_summary"}
    assert all(real[row["instruction"]] == row["output"] for row in rows_of(pool, "irrelevant"))


def test_the_seed_draws_the_pool():
    assert make_pool(INSTRUCTIONS, 3) == make_pool(INSTRUCTIONS, 3)
    keys = defaultdict(set)
    for seed in (1, 2, 3):
        pool, validation = make_pool(INSTRUCTIONS, seed)
        keys["pool"].add(json.dumps(pool))
        keys["key"].add(json.dumps(sorted({(*mark_of(row), row["output"]) for row in validation})))
    assert len(keys["pool"]) == len(keys["key"]) == 3


def test_too_few_instructions_are_told():
    with pytest.raises(UserError, match="instructions-per-kind"):
        make_pool(INSTRUCTIONS[:100], 1)


@pytest.fixture
def source(tmp_path):
    """What a planted pool needs of a corpus."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "card.json").write_text(json.dumps({"instructions": {"sha256": "s"}}))
    (folder / "instructions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in INSTRUCTIONS))
    return folder


def lines(file: Path):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_the_folder(source, tmp_path):
    card = plant(source, tmp_path / "one", seed=1)
    info = json.loads((tmp_path / "one/dataset_info.json").read_text())
    assert set(info) == {"planted", "target_validation"}
    rows = lines(tmp_path / "one" / info["planted"]["file_name"])
    assert json.loads((tmp_path / "one/planted.json").read_text())["rows"] == [r["planted"] for r in rows]
    assert {row["subtask"] for row in lines(tmp_path / "one/target_validation.jsonl")} == {"stamp", "lamp"}
    other = plant(source, tmp_path / "two", seed=2)
    assert card["family"] == other["family"]
    assert card["data"]["planted"]["sha256"] != other["data"]["planted"]["sha256"]
    with pytest.raises(UserError, match="not empty"):
        plant(source, tmp_path / "one", seed=1)


def test_another_text_makes_another_family(source, tmp_path):
    before = plant(source, tmp_path / "one", seed=1)["family"]
    file = source / "instructions.jsonl"
    file.write_text(file.read_text().replace("It is 7.", "It was 7."))
    assert plant(source, tmp_path / "two", seed=1)["family"] != before


def test_the_command(source, tmp_path):
    words = ["corpus", "planted", "--corpus", str(source), "--output", str(tmp_path / "new"), "--seed", "5"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "new/card.json").read_text())["seed"] == 5
    assert "112 relevant" in result.output


def test_a_small_corpus_is_refused(corpus, tmp_path):
    with pytest.raises(UserError, match="instructions-per-kind"):
        plant(corpus, tmp_path / "new", seed=1)
    assert not (tmp_path / "new").exists()
