"""What is computed beside the trainings: evaluations, and the preflight's scores of base models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dataflex.planning.architecture import Architecture
from dataflex.planning.corpora import Corpus
from dataflex.planning.flops import forward
from dataflex.planning.work import Pass, Work


def evaluation(model: Architecture, corpus: Corpus, cutoff: int, *, documents: bool = True) -> Work:
    """What an evaluation computes: a forward over each question, and over the held-out text.

    Args:
        cutoff: tokens of a row of text, and of a question where nobody knows its length.
        documents: whether the text is scored; of a checkpoint it is not.
    """
    length = corpus.question_tokens or float(cutoff)
    asked = (corpus.questions or 0) * length
    text = corpus.held_out_tokens if documents else 0
    flops = forward(model, asked, length) + forward(model, text, float(cutoff))
    return Work(0, 0, round(asked) + text, (Pass("evaluation", flops),))


def score(model: Architecture, corpus: Corpus, asked: Mapping[str, Any]) -> Work | None:
    """What the preflight's score of a base model computes; None if the length of a question is not known.

    Each example in a prompt is taken to be as long as a question.

    Args:
        asked: the model's entry of ``preflight.scores``.
    """
    questions = asked.get("questions", corpus.questions)
    if questions is None or corpus.question_tokens is None:
        return None
    length = (1 + asked.get("shots", 0)) * corpus.question_tokens
    tokens = questions * length
    return Work(0, 0, round(tokens), (Pass("score", forward(model, tokens, length)),))
