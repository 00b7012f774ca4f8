"""The real MMLU questions that lm-eval's package brings along, and their two parts."""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from dataflex.corpus.documents import fingerprint
from dataflex.corpus.packages import distribution_root
from dataflex.errors import UserError

VALIDATION_PER_SUBJECT = 2
LETTERS = "ABCD"
# Faults of the packaged examples, found by comparison with MMLU's own dev split. All other questions agree
# with it in choices and answer, up to spelling and white space.
DEFECTIVE = {
    (
        "abstract_algebra",
        "The symmetric group $S_n$ has",
    ): "the end of another explanation precedes the question",
}
NOTES = (
    "high_school_computer_science, 'A list of numbers has n elements': the answer is that of the packaged "
    "explanation (B); MMLU's dev split says D",
)

_EXPECTED = '{"question", "subject", "choices": [4], "answer": 0-3}'

_OPTION = re.compile(r"\(([A-Z])\)\s*")
_ANSWER = re.compile(r"answer is:?\s*\(?([A-Z])\)?(?![A-Za-z])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Question:
    """A multiple-choice question in MMLU's schema; `answer` is the index of the right choice, 0 to 3."""

    question: str
    subject: str
    choices: tuple[str, str, str, str]
    answer: int

    def row(self) -> dict[str, Any]:
        """The question as one JSON line."""
        return {**asdict(self), "choices": list(self.choices)}

    def prompt(self) -> str:
        """The question as lm-eval's MMLU tasks put it, without the subject's heading."""
        options = "\n".join(
            f"{letter}. {choice}" for letter, choice in zip(LETTERS, self.choices, strict=True)
        )
        return f"{self.question.strip()}\n{options}\nAnswer:"


def heading(subject: str) -> str:
    """The sentence that MMLU puts before the questions of a subject."""
    return (
        f"The following are multiple choice questions (with answers) about {subject.replace('_', ' ')}.\n\n"
    )


class _TaskLoader(yaml.SafeLoader):
    """Reads task files: a safe loader that passes over lm-eval's own tags (!function)."""


_TaskLoader.add_multi_constructor("!", lambda loader, suffix, node: None)


def load_task(path: Path) -> dict[str, Any]:
    """The mapping in one of lm-eval's task files; {} if it holds something else."""
    content = yaml.load(path.read_text(encoding="utf-8"), Loader=_TaskLoader)
    return content if isinstance(content, dict) else {}


def parse(text: str, target: str, subject: str) -> Question:
    """A question from its text with "(A) .. (B) .. (C) .. (D) .." and an explanation that ends in the letter.

    Raises:
        ValueError: not exactly four options A to D, or not exactly one answer; the message says which.
    """
    options = list(_OPTION.finditer(text))
    starts = [number for number, option in enumerate(options) if option.group(1) == "A"]
    # A question may mention "(A)" itself: the options are the last run that starts at A.
    options = options[starts[-1] :] if starts else []
    letters = "".join(option.group(1) for option in options)
    if letters != LETTERS:
        raise ValueError(f"options {letters or 'none'} instead of {LETTERS}")
    ends = [option.start() for option in options[1:]] + [len(text)]
    found = [text[option.end() : end].strip() for option, end in zip(options, ends, strict=True)]
    stem = text[: options[0].start()].strip()
    if not stem or not all(found):
        raise ValueError("an empty question or choice")
    answers = {letter.upper() for letter in _ANSWER.findall(target)}
    if len(answers) != 1 or not answers <= set(LETTERS):
        raise ValueError(f"answers {sorted(answers)} instead of one of {LETTERS}")
    return Question(stem, subject, (found[0], found[1], found[2], found[3]), LETTERS.index(answers.pop()))


def packaged_questions() -> tuple[list[Question], list[dict[str, Any]]]:
    """All MMLU questions that lm-eval ships as few-shot examples, and those that could not be read.

    Returns:
        The questions, ordered by subject and place, and a list of {"subject", "number", "reason"}.

    Raises:
        UserError: lm-eval is not installed or its package has no such folder.
    """
    folder = distribution_root("lm_eval") / "lm_eval" / "tasks" / "mmlu" / "flan_cot_fewshot"
    paths = sorted(folder.glob("mmlu_*.yaml"))
    if not paths:
        raise UserError("lm-eval's MMLU few-shot examples were not found; install lm_eval 0.4.13")
    questions: list[Question] = []
    unread: list[dict[str, Any]] = []
    seen: set[str] = set()
    for path in paths:
        subject = path.stem.removeprefix("mmlu_")
        for number, sample in enumerate(load_task(path)["fewshot_config"]["samples"]):
            try:
                question = parse(sample["question"], sample["target"], subject)
                for (place, start), fault in DEFECTIVE.items():
                    if subject == place and question.question.startswith(start):
                        raise ValueError(fault)
            except ValueError as error:
                unread.append({"subject": subject, "number": number, "reason": str(error)})
                continue
            key = fingerprint(question.prompt())
            if key in seen:
                unread.append({"subject": subject, "number": number, "reason": "repeats another question"})
                continue
            seen.add(key)
            questions.append(question)
    return questions, unread


def split_questions(questions: Iterable[Question], seed: int) -> tuple[list[Question], list[Question]]:
    """Validation part (two a subject, chosen by a hash of their text) and test part (the rest)."""
    subjects: dict[str, list[Question]] = defaultdict(list)
    for question in questions:
        subjects[question.subject].append(question)

    def order(question: Question) -> str:
        return hashlib.sha256(f"question:{seed}:{fingerprint(question.prompt())}".encode()).hexdigest()

    validation: list[Question] = []
    test: list[Question] = []
    for subject in sorted(subjects):
        ranked = sorted(subjects[subject], key=order)
        validation += ranked[:VALIDATION_PER_SUBJECT]
        test += ranked[VALIDATION_PER_SUBJECT:]
    return validation, test


def as_instruction(question: Question) -> dict[str, str]:
    """The question as an Alpaca row whose answer is the letter."""
    return {
        "instruction": heading(question.subject) + question.prompt(),
        "input": "",
        "output": LETTERS[question.answer],
    }


def question_of(row: Any, where: str) -> Question:
    """A question from a row in MMLU's schema.

    Args:
        row: a JSON value.
        where: its place, for the message.

    Raises:
        UserError: it is none.
    """
    try:
        first, second, third, fourth = (str(choice) for choice in row["choices"])
        question = Question(
            str(row["question"]), str(row["subject"]), (first, second, third, fourth), int(row["answer"])
        )
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{where}: not a question; expected {_EXPECTED}") from None
    if not 0 <= question.answer < len(LETTERS):
        raise UserError(f"{where}: the answer is not 0, 1, 2 or 3")
    return question


def read_questions(path: Path) -> list[Question]:
    """Questions of a JSONL file in MMLU's schema, in order.

    Raises:
        UserError: the file is missing or empty, or a line is no such question.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; make a corpus with: dataflex-cli corpus harvest")
    questions = []
    # Not split by str.splitlines(), which also ends lines at characters that stand in texts, such as U+2028.
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
            except ValueError:
                raise UserError(f"{path}:{number}: not a question; expected {_EXPECTED}") from None
            questions.append(question_of(row, f"{path}:{number}"))
    if not questions:
        raise UserError(f"{path} holds no question")
    return questions
