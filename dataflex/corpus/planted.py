"""A pool of which the truth is known: every row's class is planted, so that a selection can be marked.

The target is a family of multiple-choice questions with two subtasks. The last word of a question decides its
letter, by a key that the seed draws:

    Which shelf, A, B, C or D? Parcel 482 of Anna, stamp red    ->  C

A model of half a million parameters learns such a key within two epochs, and its gradient then tells a right
letter from a wrong one. That is all the family needs to be: easy, but with answers that depend on content.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dataflex.corpus.files import write_json, write_jsonl
from dataflex.corpus.layout import CARD, read_card, require_new
from dataflex.corpus.questions import LETTERS
from dataflex.errors import UserError

SCHEMA = 1
TRUTH = "planted.json"

CLASSES = {
    "relevant": "questions of the target family with their right letter",
    "corrupted": "questions of the target family with a wrong letter",
    "duplicated": "a few relevant rows, each many times",
    "learned": "requests with one and the same answer, which is fitted long before the decision",
    "irrelevant": "real instructions about Python packages, from the harvested pool",
}


@dataclass(frozen=True, slots=True)
class Design:
    """Sizes of the pool. Everything that one would turn to make the truth easier or harder is here.

    At the decision a bit less than a third of the pool is of low loss (learned), a third is of high loss
    (irrelevant), and the target family lies between, so that the bands of the loss selector mean classes.
    """

    relevant: int = 112
    corrupted: int = 40
    """A quarter of the family's distinct rows: more of them, and the key is not learned in two epochs."""
    originals: int = 4
    """Rows that are repeated: one for each letter."""
    copies: int = 12
    learned: int = 136
    irrelevant: int = 160
    validation: int = 48
    longest_prompt: int = 150
    """Characters of an irrelevant instruction with its input; bounds the time of a step."""
    longest_answer: int = 80

    @property
    def duplicated(self) -> int:
        """Rows that are copies, counting all of one original."""
        return self.originals * self.copies


@dataclass(frozen=True, slots=True)
class Subtask:
    """One half of the target family: a question whose last word decides the letter."""

    name: str
    question: str
    things: tuple[str, ...]
    marks: tuple[str, ...]


SUBTASKS = (
    Subtask(
        "stamp",
        "Which shelf, A, B, C or D? {thing} {number} of {person}, stamp {mark}",
        ("Parcel", "Letter", "Box", "Bag"),
        ("red", "blue", "green", "black", "white", "yellow", "brown", "grey"),
    ),
    Subtask(
        "lamp",
        "Which gate, A, B, C or D? {thing} {number} with {person}, lamp {mark}",
        ("Train", "Bus", "Ship", "Plane"),
        ("north", "south", "east", "west", "left", "right", "up", "down"),
    ),
)
PEOPLE = (
    *("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Greta", "Henry"),
    *("Ida", "Jonas", "Karin", "Leo", "Mara", "Nils", "Olga", "Paul"),
)
CLOSING = ("Close", "Finish", "End")
CLOSED = "This request is now closed."
IRRELEVANT = ("api_summary", "argument")
"""Kinds of instructions in sentences, which a tokenizer keeps short."""

Row = dict[str, str]


def _row(prompt: str, answer: str, **more: str) -> Row:
    return {"instruction": prompt, "input": "", "output": answer, **more}


def _family(subtask: Subtask, rng: random.Random) -> Iterator[Row]:
    """Yield questions of a subtask that all differ, with their right letter; the letters take turns."""
    key = list(zip(LETTERS, rng.sample(subtask.marks, len(LETTERS)), strict=True))
    asked: set[str] = set()
    while True:
        letter, mark = key[len(asked) % len(key)]
        question = subtask.question.format(
            thing=rng.choice(subtask.things),
            number=rng.randrange(100, 1000),
            person=rng.choice(PEOPLE),
            mark=mark,
        )
        if question not in asked:
            asked.add(question)
            yield _row(question, letter, subtask=subtask.name)


def _learned(rng: random.Random) -> Iterator[Row]:
    """Yield distinct requests to close something; the answer is always the same."""
    asked: set[str] = set()
    while True:
        request = f"{rng.choice(CLOSING)} request {rng.randrange(100, 1000)} of {rng.choice(PEOPLE)}."
        if request not in asked:
            asked.add(request)
            yield _row(request, CLOSED)


def make_pool(
    instructions: Sequence[Mapping[str, str]], seed: int, design: Design | None = None
) -> tuple[list[Row], list[Row]]:
    """Draw a pool and its validation set.

    Args:
        instructions: real rows, of which the irrelevant ones are drawn.
        seed: decides key, content and order; another seed gives another pool.
        design: sizes; the default if None.

    Returns:
        The pool in a shuffled order, each row with its class in the column ``planted``, and the validation
        rows with their ``subtask``. No question occurs in both.

    Raises:
        UserError: there are too few short instructions.
    """
    sizes = design or Design()
    rng = random.Random(seed)
    families = [_family(subtask, rng) for subtask in SUBTASKS]

    def questions(count: int) -> list[Row]:
        return [next(families[number % len(families)]) for number in range(count)]

    validation = questions(sizes.validation)
    pool: list[Row] = []

    def add(planted: str, rows: Sequence[Row]) -> None:
        pool.extend(_row(row["instruction"], row["output"], planted=planted) for row in rows)

    add("relevant", questions(sizes.relevant))
    wrong = questions(sizes.corrupted)
    for row in wrong:
        row["output"] = rng.choice(LETTERS.replace(row["output"], ""))
    add("corrupted", wrong)
    # The letters take turns, so that a stretch of questions holds an original for each letter.
    stretch = questions(len(families) * len(LETTERS))
    originals = [
        next(row for row in stretch[number % len(families) :: len(families)] if row["output"] == letter)
        for number, letter in zip(range(sizes.originals), LETTERS * sizes.originals, strict=False)
    ]
    add("duplicated", [row for row in originals for _ in range(sizes.copies)])
    closing = _learned(rng)
    add("learned", [next(closing) for _ in range(sizes.learned)])
    add("irrelevant", _irrelevant(instructions, sizes, rng))
    rng.shuffle(pool)
    return pool, validation


def _irrelevant(instructions: Sequence[Mapping[str, str]], sizes: Design, rng: random.Random) -> list[Row]:
    short = [
        row
        for row in instructions
        if row["kind"] in IRRELEVANT
        and len(row["instruction"]) <= sizes.longest_prompt
        and len(row["output"]) <= sizes.longest_answer
    ]
    if len(short) < sizes.irrelevant:
        raise UserError(
            f"the corpus has {len(short)} instructions of at most {sizes.longest_prompt} and "
            f"{sizes.longest_answer} characters, {sizes.irrelevant} are needed: make it with more "
            "--instructions-per-kind"
        )
    return [dict(row) for row in rng.sample(short, sizes.irrelevant)]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def plant(corpus: Path, output: Path, *, seed: int) -> dict[str, Any]:
    """Make the folder of a planted pool: data sets ``planted`` and ``target_validation``, and planted.json.

    Args:
        corpus: a corpus, for its real instructions.
        output: a folder that is absent or empty.
        seed: see ``make_pool``.

    Returns:
        The card, also written to card.json as the last file.

    Raises:
        UserError: the corpus is absent or too small, or the folder is in use.
    """
    source = read_card(corpus)["instructions"]["sha256"]
    with (corpus / "instructions.jsonl").open(encoding="utf-8") as lines:
        instructions = [json.loads(line) for line in lines]
    require_new(output)
    design = Design()
    pool, validation = make_pool(instructions, seed, design)
    files = {
        name: {"rows": len(rows), "sha256": write_jsonl(output / f"{name}.jsonl", rows)}
        for name, rows in (("planted", pool), ("target_validation", validation))
    }
    columns = {"prompt": "instruction", "query": "input", "response": "output"}
    write_json(
        output / "dataset_info.json",
        {name: {"file_name": f"{name}.jsonl", "columns": columns} for name in files},
    )
    truth = {"schema": SCHEMA, "classes": CLASSES, "rows": [row["planted"] for row in pool]}
    write_json(output / TRUTH, truth)
    card = {
        "schema": SCHEMA,
        "made_by": "planted",
        "seed": seed,
        "design": asdict(design),
        "classes": dict(Counter(row["planted"] for row in pool)),
        "source": {"instructions": source},
        # Equal for all seeds: says that pools were drawn in the same way from the same text.
        "family": _digest([instructions, make_pool(instructions, 0, design)]),
        "data": files,
    }
    write_json(output / CARD, card)
    return card
