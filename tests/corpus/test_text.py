from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflex.corpus.contamination import QuestionFilter
from dataflex.corpus.documents import Document, cut, fingerprint, pieces
from dataflex.corpus.duplicates import DuplicateFilter, drop_straddling
from dataflex.corpus.python_source import code_without_docstrings, docstrings
from dataflex.corpus.questions import Question
from dataflex.corpus.splits import assign_splits


def prose(count: int, seed: int) -> str:
    chooser = random.Random(seed)
    return " ".join(f"word{chooser.randrange(100_000)}" for _ in range(count))


@given(st.lists(st.text(alphabet="ab \n", max_size=300), max_size=20).map("\n\n".join))
def test_pieces_keep_their_bounds(text):
    for piece in pieces(text, minimum=20, maximum=100):
        assert 20 <= len(piece) <= 100


def test_pieces_lose_nothing_but_short_ends():
    paragraphs = [prose(10, seed) for seed in range(40)]
    found = list(pieces("\n\n".join(paragraphs), minimum=1, maximum=500))
    assert "\n\n".join(found) == "\n\n".join(paragraphs)
    assert len(found) > 5


def test_cut_gives_one_group_and_refuses_data():
    text = "\n\n".join(prose(60, seed) for seed in range(30))
    documents = list(cut(text, domain="d", source="s", at_most=3))
    assert len(documents) == 3
    assert {document.group for document in documents} == {fingerprint(text)}
    assert list(cut(text + "\x00", domain="d", source="s", at_most=3)) == []


def test_duplicates():
    duplicates = DuplicateFilter(10_000)
    text = prose(200, 1)
    assert duplicates.admit(text) == "kept"
    assert duplicates.admit("  " + text.upper().replace(" ", "\n")) == "exact"
    assert duplicates.admit(text + " " + prose(100, 2)) == "near"
    assert duplicates.admit(text[: len(text) // 4] + " " + prose(200, 3)) == "kept"
    assert duplicates.admit(prose(200, 4)) == "kept"
    assert duplicates.admit("few words") == "kept"


def test_short_text_inside_a_longer_one_of_another_split_is_dropped():
    short, other = prose(100, 1), prose(100, 2)
    longer = short + " " + prose(600, 3)

    def document(text: str) -> Document:
        return Document(text, "d", "s", fingerprint(text))

    domains = {
        "one": {"train": [], "validation": [document(short)], "test": [document(other)]},
        "two": {"train": [document(longer)], "validation": [document(other + " " + other)], "test": []},
    }
    assert drop_straddling(domains) == {"one": 2, "two": 0}
    assert domains["one"] == {"train": [], "validation": [], "test": []}
    assert len(domains["two"]["train"]) == len(domains["two"]["validation"]) == 1


def test_split_depends_on_content_only():
    groups = [fingerprint(str(number)) for number in range(2000)]
    splits = assign_splits(groups, seed=0)
    assert assign_splits(reversed(groups), seed=0) == splits
    part = assign_splits(groups[:500], seed=0)
    assert part == {group: splits[group] for group in groups[:500]}
    held_out = [sum(found == name for found in splits.values()) for name in ("validation", "test")]
    assert all(150 < count < 250 for count in held_out)
    assert assign_splits(groups, seed=1) != splits


def test_split_of_a_few_documents_leaves_none_empty():
    for seed in range(20):
        assert sorted(assign_splits(["a", "b", "c"], seed).values()) == ["test", "train", "validation"]
        assert set(assign_splits(["a", "b", "c"], seed, held_out=["test"]).values()) == {"train", "test"}
    assert assign_splits(["a"], 0) == {"a": "train"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Before. Which of the following organs\nmakes insulin in a healthy adult? After.", True),
        ("It is the pancreas that makes insulin in a healthy adult.", False),
        ("He asked: the pleura? It has no nerve, or a gap, or it extends.", False),
        ("THE PLEURA has no nerve; has a gap; extends", True),
        ("x " * 50 + prose(13, 9) + " y" * 50, True),
        ("x " * 50 + prose(12, 9) + " y" * 50, False),
    ],
)
def test_question_in_a_text(text, found):
    questions = QuestionFilter(
        [
            Question(
                "Which of the following organs makes insulin in a healthy adult?",
                "s",
                ("a", "b", "c", "d"),
                0,
            ),
            Question("The pleura", "s", ("has no nerve", "has a gap", "extends", ""), 0),
            Question(prose(40, 9), "s", ("a", "b", "c", "d"), 0),
        ]
    )
    assert questions.contains_question(text) is found


SOURCE = '''# Licence
"""Module text."""
import os

def f(a, b=1):
    """Add.

    More of it.

    >>> f(1)
    2
    """
    return a + b  # kept

class C:
    """Only this."""

    def g(self, x):
        "One line."
'''


def test_code_without_docstrings():
    code = code_without_docstrings(SOURCE)
    assert "Module text" not in code
    assert "Licence" not in code
    assert "return a + b  # kept" in code
    assert ">>>" not in code
    compile(code, "code", "exec")
    assert code_without_docstrings("def broken(") == ""


def test_docstrings():
    found = {docstring.name: docstring for docstring in docstrings(SOURCE)}
    assert set(found) == {"", "f", "C", "C.g"}
    assert found["f"].arguments == ("a", "b")
    assert found["f"].summary == "Add."
    assert found["f"].prose == "Add.\n\nMore of it."
    assert found["f"].sessions == [">>> f(1)\n2"]
    assert found["f"].code.startswith("def f(a, b=1):")
    assert found["C.g"].code == ""
    assert found["C.g"].arguments == ("x",)
