"""A base model's accuracy on MMLU questions, and whether it lies in the band that the grid expects.

A model that scores outside of it is another model, a broken tokenizer, another prompt: nothing that is
trained from it could be compared with what was published.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

from dataflex.corpus.files import write_json, write_jsonl
from dataflex.corpus.questions import Question, read_questions
from dataflex.evaluation.evaluate import evaluate
from dataflex.preflight.report import Finding


def some_questions(corpus: Path, count: int | None, seed: int) -> tuple[list[Question], list[Question]]:
    """A corpus's questions for examples, and a random subset of those to be asked, in their order."""
    examples = read_questions(corpus / "questions" / "validation.jsonl")
    asked = read_questions(corpus / "questions" / "test.jsonl")
    if count is None or count >= len(asked):
        return examples, asked
    chosen = sorted(random.Random(seed).sample(range(len(asked)), count))
    return examples, [asked[number] for number in chosen]


def measure(
    model: Path,
    corpus: Path,
    *,
    count: int | None = None,
    shots: int = 0,
    batch_size: int = 8,
    seed: int = 0,
    quiet: bool = False,
) -> dict[str, Any]:
    """The `mmlu` part of an evaluation on some of a corpus's questions, with the protocol's hash.

    Args:
        model: folder of a model.
        corpus: folder of a corpus.
        count: a random subset of so many questions; None takes all.
        shots: examples in a prompt.
        batch_size: sequences a forward pass.
        seed: of the subset.
        quiet: no progress display.

    Raises:
        UserError: model or corpus is not as it should be.
    """
    examples, asked = some_questions(corpus, count, seed)
    with tempfile.TemporaryDirectory(prefix="preflight-", ignore_cleanup_errors=True) as name:
        part = Path(name) / "corpus"
        write_jsonl(part / "questions" / "validation.jsonl", (one.row() for one in examples))
        write_jsonl(part / "questions" / "test.jsonl", (one.row() for one in asked))
        write_json(part / "card.json", {"domains": {}})
        found = evaluate(model, part, Path(name) / "out", batch_size=batch_size, shots=shots, quiet=quiet)
    return {**found["mmlu"], "protocol": found["protocol"], "protocol_hash": found["protocol_hash"]}


def in_band(name: str, score: dict[str, Any], spec: dict[str, Any]) -> Finding:
    """Whether an accuracy lies in the band of the grid.

    Args:
        name: of the model.
        score: with ``acc``, ``stderr`` and ``n``.
        spec: the grid's entry, with ``band`` and ``source``.
    """
    low, high = spec["band"]
    basis = f"{'assumed from ' if spec.get('assumed') else ''}{spec['source']}"
    told = (
        f"accuracy {score['acc']:.4f} ± {score['stderr']:.4f} on {score['n']} questions, "
        f"{spec.get('shots', 0)}-shot; band {low} to {high} ({basis})"
    )
    what = f"score of {name}"
    if low <= score["acc"] <= high:
        return Finding(what, "passed", told)
    return Finding(
        what,
        "failed",
        f"{told}: check that the model's folder is the model (dataflex-cli assets verify), its tokenizer, "
        "dtype and lm-eval's version; correct `band` in the grid only with a source",
    )
