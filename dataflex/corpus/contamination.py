"""Keeping the text of evaluation questions out of what is trained on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from dataflex.corpus.documents import words
from dataflex.corpus.duplicates import WordHasher
from dataflex.corpus.questions import Question

LONG = 13
SHORT = 8


class QuestionFilter:
    """Finds documents that contain a question.

    A question of thirteen words or more is found by any thirteen of its consecutive words (the overlap test
    of Brown et al. 2020, "Language Models are Few-Shot Learners", appendix C); a shorter one by all its
    words, and one of fewer than eight words by its words and those of its choices, up to thirteen.
    """

    def __init__(self, questions: Iterable[Question]) -> None:
        self._hasher = WordHasher()
        wanted: dict[int, set[int]] = defaultdict(set)
        for question in questions:
            sequence = words(question.question)
            if len(sequence) < SHORT:
                sequence = (sequence + [word for choice in question.choices for word in words(choice)])[:LONG]
            length = min(len(sequence), LONG)
            if length:
                wanted[length].update(self._hasher.runs(self._hasher.words(sequence), length).tolist())
        self._wanted = {length: frozenset(runs) for length, runs in sorted(wanted.items())}

    def contains_question(self, text: str) -> bool:
        """True if the text repeats one of the questions."""
        hashes = self._hasher.words(words(text))
        return any(
            not runs.isdisjoint(self._hasher.runs(hashes, length).tolist())
            for length, runs in self._wanted.items()
        )
