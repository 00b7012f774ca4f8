"""The instruction pool: Alpaca rows of several kinds, so that a selection among them means something.

Kinds differ in form, subject and use on purpose. Only `api_quiz` and `exam_korean` look like the questions
of the evaluation; none of them is one.
"""

from __future__ import annotations

import doctest
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from dataflex.corpus.contamination import QuestionFilter
from dataflex.corpus.documents import fingerprint, is_text, seeded_order
from dataflex.corpus.domains import DOCUMENTED, library_module
from dataflex.corpus.packages import distribution_root, shuffled
from dataflex.corpus.python_source import Docstring, code_without_docstrings, docstrings
from dataflex.corpus.questions import LETTERS, Question, as_instruction, load_task

ROWS_PER_KIND = 500
PER_FILE = 5
MAX_INPUT = 1200
MAX_OUTPUT = 900

KINDS = {
    "api_summary": "a function's name and arguments -> the beginning of its documentation",
    "code_summary": "a function's source -> the first sentence of its documentation",
    "argument": "a function and one of its arguments -> what the documentation says of the argument",
    "session_output": "lines of an interactive Python session -> what the last one prints",
    "api_quiz": "multiple choice in MMLU's form, made here: which of four functions of a package "
    "a documentation sentence belongs to -> the letter",
    "exam_korean": "real multiple-choice exam questions in Korean, few-shot examples of lm-eval's kmmlu "
    "-> the letter",
    "reasoning": "few-shot examples of lm-eval's bbh, gsm8k, babilong and acpbench tasks, as they stand",
}

_ARGUMENT = re.compile(r"^(?P<name>\w+)\s*:\s*[^\n]+\n(?P<text>(?:[ \t]+[^\n]+\n?)+)", re.MULTILINE)
_KOREAN_ANSWER = re.compile(r"정답은 ?\(?([A-D])\)?")
_SENTENCE = re.compile(r"(?<=[.!?])\s")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One row of the pool."""

    kind: str
    instruction: str
    input: str
    output: str

    def row(self) -> dict[str, str]:
        """The row in Alpaca's schema, with its kind in a column of its own."""
        return {
            "instruction": self.instruction,
            "input": self.input,
            "output": self.output,
            "kind": self.kind,
        }


@dataclass(frozen=True, slots=True)
class _Definition:
    """A documented function of an installed module."""

    package: str
    module: str
    docstring: Docstring

    @property
    def name(self) -> str:
        return f"{self.module}.{self.docstring.name}"


def _functions(source: str, package: str, path: str) -> list[_Definition]:
    module = ".".join(PurePosixPath(path).with_suffix("").parts).removesuffix(".__init__")
    return [
        _Definition(package, module, docstring)
        for docstring in docstrings(source)
        if docstring.code and not docstring.name.startswith("_") and len(docstring.summary) >= 30
    ]


def _definitions(seed: int, wanted: int) -> list[_Definition]:
    """Public functions of the documented packages in a seeded order, at most a few of each file."""
    found: list[_Definition] = []
    for file in shuffled(DOCUMENTED, library_module, seed + 1):
        path = file.name.split("/", 1)[1]
        source = file.read()
        if "def " not in source:
            continue
        functions = _functions(source, path.split("/")[0], path)
        found += sorted(functions, key=lambda function: seeded_order(seed, function.name))[:PER_FILE]
        if len(found) >= wanted:
            break
    return found


def _shortened(text: str, limit: int) -> str:
    """Whole paragraphs up to a limit, at least part of the first."""
    kept = ""
    for paragraph in re.split(r"\n[ \t]*\n", text):
        if kept and len(kept) + len(paragraph) + 2 > limit:
            break
        kept = f"{kept}\n\n{paragraph}" if kept else paragraph
    return kept[:limit].strip()


def _api_summaries(functions: Sequence[_Definition]) -> Iterator[Instruction]:
    for function in functions:
        arguments = ", ".join(function.docstring.arguments)
        yield Instruction(
            "api_summary",
            f"Explain what the Python function `{function.name}({arguments})` does.",
            "",
            _shortened(function.docstring.prose, MAX_OUTPUT),
        )


def _code_summaries(functions: Sequence[_Definition]) -> Iterator[Instruction]:
    for function in functions:
        code = code_without_docstrings(function.docstring.code)
        if 80 <= len(code) <= MAX_INPUT:
            sentence = _SENTENCE.split(function.docstring.summary)[0]
            yield Instruction("code_summary", "Say in one sentence what this function does.", code, sentence)


def _arguments(functions: Sequence[_Definition]) -> Iterator[Instruction]:
    for function in functions:
        documented = [
            found
            for found in _ARGUMENT.finditer(function.docstring.text)
            if found["name"] in function.docstring.arguments
        ]
        for found in documented[:1]:
            meaning = " ".join(found["text"].split())
            if len(meaning) >= 30:
                yield Instruction(
                    "argument",
                    f"What does the argument `{found['name']}` of `{function.name}` mean?",
                    "",
                    meaning[:MAX_OUTPUT],
                )


def _sessions(functions: Sequence[_Definition]) -> Iterator[Instruction]:
    parser = doctest.DocTestParser()
    for function in functions:
        for session in function.docstring.sessions[:1]:
            try:
                examples = parser.get_examples(session)
            except ValueError:
                continue
            printing = [number for number, example in enumerate(examples) if example.want.strip()]
            if not printing:
                continue
            last = printing[-1]
            commands = "".join(example.source for example in examples[: last + 1])
            output = examples[last].want.strip()
            if len(commands) <= MAX_INPUT and len(output) <= MAX_OUTPUT:
                yield Instruction(
                    "session_output", "What does the last line of this session print?", commands, output
                )


def _quiz(functions: Sequence[_Definition], seed: int) -> Iterator[Instruction]:
    packages: dict[str, list[_Definition]] = {}
    for function in functions:
        packages.setdefault(function.package, []).append(function)
    for function in functions:
        own = function.docstring.name
        sentence = _SENTENCE.split(function.docstring.summary)[0]
        others = sorted(
            {other.docstring.name for other in packages[function.package]} - {own},
            key=lambda name: seeded_order(seed, f"{function.name}:{name}"),
        )[:3]
        if len(others) < 3 or own.lower() in sentence.lower():
            continue
        choices = sorted([own, *others], key=lambda name: seeded_order(seed + 1, f"{function.name}:{name}"))
        question = Question(
            f"Which function of {function.package} is documented so: {sentence}",
            f"the Python package {function.package}",
            (choices[0], choices[1], choices[2], choices[3]),
            choices.index(own),
        )
        yield Instruction("api_quiz", **as_instruction(question))


def _samples(folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(task file's stem, few-shot example) of one of lm-eval's task folders."""
    tasks = distribution_root("lm_eval") / "lm_eval" / "tasks"
    for path in sorted((tasks / folder).glob("*.yaml")):
        samples = (load_task(path).get("fewshot_config") or {}).get("samples")
        for sample in samples if isinstance(samples, list) else []:
            yield path.stem, sample


def _korean_exams() -> Iterator[Instruction]:
    for task, sample in _samples("kmmlu/cot_hard"):
        letters = set(_KOREAN_ANSWER.findall(sample["target"]))
        if len(letters) == 1:
            subject = task.removeprefix("kmmlu_cot_hard_")
            question = Question(
                str(sample["question"]).removeprefix("질문:").strip(),
                subject,
                (str(sample["A"]), str(sample["B"]), str(sample["C"]), str(sample["D"])),
                LETTERS.index(letters.pop()),
            )
            yield Instruction("exam_korean", **as_instruction(question))


def _reasoning() -> Iterator[Instruction]:
    for folder in (
        "bbh/cot_fewshot",
        "gsm8k",
        "babilong",
        "acpbench/mcq_cot_2shot",
        "acpbench/boolq_cot_2shot",
    ):
        for _, sample in _samples(folder):
            context = str(
                sample.get("context")
                or (sample["input"] if "question" in sample and "input" in sample else "")
            )
            question = str(sample.get("question") or sample.get("input"))
            answer = str(sample.get("target") or sample.get("answer"))
            yield Instruction("reasoning", question.strip(), context.strip(), answer.strip())


def instruction_pool(
    seed: int, questions: QuestionFilter, rows_per_kind: int = ROWS_PER_KIND
) -> tuple[list[Instruction], dict[str, int]]:
    """The pool in a seeded order, without duplicates and without any evaluation question.

    Args:
        seed: decides which functions are used and the order of the rows.
        questions: finds the evaluation's questions.
        rows_per_kind: most rows of one kind.

    Returns:
        The rows, and how many were dropped: {"duplicates", "with_a_question"}.
    """
    functions = _definitions(seed, 2 * rows_per_kind)
    kinds: tuple[Callable[[], Iterator[Instruction]], ...] = (
        lambda: _api_summaries(functions),
        lambda: _code_summaries(functions),
        lambda: _arguments(functions),
        lambda: _sessions(functions),
        lambda: _quiz(functions, seed),
        _korean_exams,
        _reasoning,
    )
    dropped = {"duplicates": 0, "with_a_question": 0}
    seen: set[str] = set()
    pool: list[Instruction] = []
    for rows in kinds:
        kept = 0
        for row in rows():
            if kept == rows_per_kind:
                break
            text = f"{row.instruction}\n{row.input}\n{row.output}"
            if not (row.output and is_text(text)):
                continue
            key = fingerprint(f"{row.instruction}\n{row.input}")
            if key in seen:
                dropped["duplicates"] += 1
            elif questions.contains_question(text):
                dropped["with_a_question"] += 1
            else:
                seen.add(key)
                pool.append(row)
                kept += 1
    pool.sort(key=lambda row: seeded_order(seed, f"{row.instruction}\n{row.input}"))
    return pool, dropped
