from __future__ import annotations

from collections import Counter

import pytest

from dataflex.corpus.files import write_jsonl
from dataflex.corpus.questions import (
    Question,
    as_instruction,
    packaged_questions,
    parse,
    read_questions,
    split_questions,
)
from dataflex.errors import UserError

LM_EVAL = "0.4.13"


@pytest.fixture(scope="module")
def packaged():
    return packaged_questions()


def pinned() -> bool:
    from importlib.metadata import version

    return version("lm_eval") == LM_EVAL


@pytest.mark.skipif(not pinned(), reason=f"counts are those of lm-eval {LM_EVAL}")
def test_counts_of_the_packaged_questions(packaged):
    questions, unread = packaged
    subjects = Counter(question.subject for question in questions)
    assert len(questions) == 279
    assert len(subjects) == 57
    # Three subjects have four examples in the package, three lose one that cannot be used.
    fewer = {subject for subject, count in subjects.items() if count != 5}
    assert fewer == {
        "abstract_algebra",
        "college_chemistry",
        "college_physics",
        "formal_logic",
        "human_aging",
    }
    assert subjects["college_chemistry"] == 3
    assert {(row["subject"], row["number"]) for row in unread} == {
        ("abstract_algebra", 1),
        ("college_chemistry", 3),
        ("college_physics", 3),
    }


def test_every_question_is_whole(packaged):
    for question in packaged[0]:
        assert question.question
        assert len(question.choices) == 4
        assert all(question.choices)
        assert 0 <= question.answer < 4
        assert "answer is" not in question.question


def test_answers_known_from_elsewhere(packaged):
    """Facts that do not come from the package's explanations."""
    known = {
        "Which of the following is the body cavity that contains the pituitary gland?": "Cranial",
        "What is the embryological origin of the hyoid bone?": "The second and third pharyngeal arches",
    }
    by_text = {question.question: question for question in packaged[0]}
    for text, choice in known.items():
        assert by_text[text].choices[by_text[text].answer] == choice


def test_parse_takes_the_last_run_of_options():
    question = parse(
        "Given (A) and (B), which holds?\n(A) one (x) (B) two (C) three\nlines (D) four",
        "Let's see. (B) is wrong. The answer is (C).",
        "logic",
    )
    assert question.question == "Given (A) and (B), which holds?"
    assert question.choices == ("one (x)", "two", "three\nlines", "four")
    assert question.answer == 2


@pytest.mark.parametrize(
    ("text", "target", "reason"),
    [
        ("Q\n(A) a (B) b (C) c (D) d (E) e", "The answer is (A).", "ABCDE"),
        ("Q\n(A) a (B) b (C) c", "The answer is (A).", "ABC"),
        ("Q without options", "The answer is (A).", "none"),
        ("Q\n(A) a (B) b (C) (D) d", "The answer is (A).", "empty"),
        ("Q\n(A) a (B) b (C) c (D) d", "I do not know.", "answers"),
        ("Q\n(A) a (B) b (C) c (D) d", "The answer is (A). No, the answer is (B).", "answers"),
        ("Q\n(A) a (B) b (C) c (D) d", "The answer is (E).", "answers"),
    ],
)
def test_parse_refuses_to_guess(text, target, reason):
    with pytest.raises(ValueError, match=reason):
        parse(text, target, "logic")


def test_parts_are_disjoint_and_stable(packaged):
    validation, test = split_questions(packaged[0], seed=3)
    again = split_questions(list(reversed(packaged[0])), seed=3)
    assert (set(validation), set(test)) == (set(again[0]), set(again[1]))
    assert not set(validation) & set(test)
    assert {question.prompt() for question in validation}.isdisjoint(question.prompt() for question in test)
    assert set(Counter(question.subject for question in validation).values()) == {2}
    assert len(validation) + len(test) == len(packaged[0])
    assert set(split_questions(packaged[0], seed=4)[0]) != set(validation)


def test_instruction_has_the_form_of_the_official_prompt():
    row = as_instruction(Question("What?", "high_school_physics", ("a", "b", "c", "d"), 2))
    assert row == {
        "instruction": "The following are multiple choice questions (with answers) about "
        "high school physics.\n\nWhat?\nA. a\nB. b\nC. c\nD. d\nAnswer:",
        "input": "",
        "output": "C",
    }


def test_a_question_may_hold_what_ends_a_line_elsewhere(tmp_path):
    asked = Question("What\u2028is\x85it?", "virology", ("a", "b\u2029", "c", "d"), 1)
    write_jsonl(tmp_path / "q.jsonl", [asked.row(), asked.row()])
    assert read_questions(tmp_path / "q.jsonl") == [asked, asked]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"q.jsonl:1: not a question"),
        ('{"question": "q", "subject": "s", "choices": ["a"], "answer": 0}', r"q.jsonl:1: not a question"),
        ('{"question": "q", "subject": "s", "choices": [1, 2, 3, 4]}', r"q.jsonl:1: not a question"),
        ('{"question": "q", "subject": "s", "choices": [1, 2, 3, 4], "answer": 4}', r"q.jsonl:1: the answer"),
        ("", "holds no question"),
    ],
)
def test_malformed_question_files(tmp_path, line, message):
    (tmp_path / "q.jsonl").write_text(line + "\n" if line else "")
    with pytest.raises(UserError, match=message):
        read_questions(tmp_path / "q.jsonl")
