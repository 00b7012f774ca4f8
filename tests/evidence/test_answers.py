"""The recorded right answers are those of the questions themselves."""

import hashlib
from collections import Counter
from pathlib import Path

import pytest

from dataflex.corpus.files import write_jsonl
from dataflex.corpus.questions import packaged_questions, split_questions
from dataflex.errors import UserError
from dataflex.evidence.answers import digest, read

FILE = Path(__file__).resolve().parent.parent.parent / "reproductions/reference/answers.csv"


def test_the_packaged_questions_have_the_recorded_answers(tmp_path):
    _, test = split_questions(packaged_questions()[0], seed=0)
    of_file = write_jsonl(tmp_path / "test.jsonl", (question.row() for question in test))
    places, answers = Counter(), {}
    for question in test:
        answers[f"{question.subject}/{places[question.subject]}"] = question.answer
        places[question.subject] += 1
    assert read(FILE)[of_file] == digest(answers)


def test_the_digest_is_of_lines_in_order():
    assert digest({"b/0": 3, "a/0": 1}) == hashlib.sha256(b"a/0 1\nb/0 3\n").hexdigest()


def test_nothing_is_known_without_the_file_and_a_file_twice_is_refused(tmp_path):
    assert read(tmp_path / "none.csv") == {}
    file = tmp_path / "answers.csv"
    file.write_text("questions,answers,n,source\nq,a,1,x\nq,b,1,x\n")
    with pytest.raises(UserError, match="twice"):
        read(file)
