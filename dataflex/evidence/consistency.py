"""Do a cell's summary numbers follow from its outcomes: questions, documents, picked rows, token shares?"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from dataflex.errors import UserError
from dataflex.evidence import by_step, mixtures, shares
from dataflex.evidence.picks import read_outcomes, summary
from dataflex.evidence.results import (
    BY_STEP,
    HELD_OUT,
    MIXTURE,
    PICKS,
    SELECTION,
    SHARES,
    CellResult,
    read_lines,
)
from dataflex.evidence.subjects import GROUP_OF

RELATIVE = 1e-9
"""Summaries are recomputed from the same doubles, so that only the order of additions may differ."""
NOT_RECOMPUTED = {"mmlu.truncated_prompts"}
"""Numbers of a summary that need more than the outcomes: the prompts."""


def answer_nll(logliks: list[float], gold: int) -> float:
    """-log p(gold) in nats, with p = softmax over the options' log-likelihoods."""
    top = max(logliks)
    return top + math.log(sum(math.exp(value - top) for value in logliks)) - logliks[gold]


def recomputed(
    questions: list[dict[str, Any]],
    documents: list[dict[str, Any]],
    shares: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Every number of a model's summary by name, from the outcomes alone.

    Accuracies of subjects, of MMLU's groups of subjects and of all questions weigh each question alike,
    ``macro_acc`` each subject; ``stderr`` is the binomial sqrt(acc (1 - acc) / n). ``at_chance`` (0 or 1):
    whether acc lies within two standard errors, as guessing has them, of one right answer in as many options
    as there are. Bits per byte of a domain: -sum of the documents' log-likelihoods (nats) / (log 2 x bytes);
    word, byte and token perplexities: exp(-sum / units). ``all`` pools the documents of all domains, if there
    are any; ``natural`` weighs a token of each domain by the domain's share, if shares are given.
    """
    n, options = len(questions), len(questions[0]["logliks"])
    accuracy, chance = _accuracy(questions), 1 / options
    subjects = _parts(questions, "subject")
    numbers = {
        "mmlu.acc": accuracy,
        "mmlu.stderr": math.sqrt(accuracy * (1 - accuracy) / n),
        "mmlu.answer_nll": _loss(questions),
        "mmlu.n": float(n),
        "mmlu.macro_acc": math.fsum(map(_accuracy, subjects.values())) / len(subjects),
        "mmlu.chance.acc": chance,
        "mmlu.chance.answer_nll": math.log(options),
        "mmlu.at_chance": float(abs(accuracy - chance) <= 2 * math.sqrt(chance * (1 - chance) / n)),
    }
    for subject, own in subjects.items():
        numbers[f"mmlu.subjects.{subject}.acc"] = _accuracy(own)
        numbers[f"mmlu.subjects.{subject}.n"] = float(len(own))
        numbers[f"mmlu.subjects.{subject}.answer_nll"] = _loss(own)
    grouped = [{**question, "group": GROUP_OF[question["subject"]]} for question in questions]
    for group, own in _parts(grouped, "group").items():
        numbers[f"mmlu.groups.{group}"] = _accuracy(own)
    for domain, own in ({"all": documents, **_parts(documents, "domain")} if documents else {}).items():
        nats = -math.fsum(document["loglik"] for document in own)
        totals = {unit: sum(document[f"{unit}s"] for document in own) for unit in ("token", "word", "byte")}
        numbers[f"perplexity.{domain}.bits_per_byte"] = nats / (math.log(2) * totals["byte"])
        numbers[f"perplexity.{domain}.documents"] = float(len(own))
        for unit, total in totals.items():
            numbers[f"perplexity.{domain}.{unit}"] = math.exp(nats / total)
            numbers[f"perplexity.{domain}.{unit}s"] = float(total)
    if shares:
        tokens = {domain: numbers[f"perplexity.{domain}.tokens"] for domain in shares}
        # Text of which this many tokens are each domain's, over one token in all.
        scale = {domain: share / tokens[domain] for domain, share in shares.items()}
        nats = sum(scale[d] * tokens[d] * math.log(numbers[f"perplexity.{d}.token"]) for d in shares)
        for unit in ("token", "word", "byte"):
            units = sum(scale[domain] * numbers[f"perplexity.{domain}.{unit}s"] for domain in shares)
            numbers[f"perplexity.natural.{unit}"] = math.exp(nats / units)
        numbers["perplexity.natural.bits_per_byte"] = math.log2(numbers["perplexity.natural.byte"])
    return numbers


def _accuracy(questions: list[dict[str, Any]]) -> float:
    return math.fsum(question["correct"] for question in questions) / len(questions)


def _loss(questions: list[dict[str, Any]]) -> float:
    return math.fsum(answer_nll(q["logliks"], q["gold"]) for q in questions) / len(questions)


def _parts(lines: list[dict[str, Any]], by: str) -> dict[str, list[dict[str, Any]]]:
    """The lines by one of their values, in its order."""
    parts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        parts[line[by]].append(line)
    return dict(sorted(parts.items()))


def _stated(metrics: Mapping[str, Any], place: str) -> Iterator[tuple[str, Any]]:
    """Every value of a part of a summary, by name."""
    for key, value in metrics.items():
        name = f"{place}.{key}"
        if isinstance(value, Mapping):
            yield from _stated(value, name)
        else:
            yield name, value


def contradictions(result: CellResult) -> Iterator[str]:
    """Yield one sentence for each summary number that does not follow from the outcomes."""
    yield from {"selection": _of_selection, "mixture": _of_mixture, "model": _of_model}[result.kind](result)


def _of_selection(result: CellResult) -> Iterator[str]:
    stated = result.metrics
    try:
        outcomes = read_outcomes(result.folder / PICKS)
        steps = [decision["step"] for decision in stated["decisions"]]
        expected = summary(
            stated["pool"],
            {step: [name for _, name in rows] for step, rows in outcomes.items()},
            stated["target"],
            steps.index(stated["step"]),
        )
    except (KeyError, TypeError, ValueError, UserError) as error:
        yield f"{SELECTION} does not fit {PICKS}: {error}"
        return
    for name in sorted(stated.keys() | expected.keys()):
        if stated.get(name) != expected.get(name):
            yield f"{name} is stated as {stated.get(name)!r}, its picks give {expected.get(name)!r}"
    known: dict[int, str] = {}
    for row, planted in (pick for rows in outcomes.values() for pick in rows):
        if known.setdefault(row, planted) != planted:
            yield f"row {row} is both {known[row]} and {planted}"


def _of_mixture(result: CellResult) -> Iterator[str]:
    stated = result.metrics
    try:
        expected = mixtures.summary(
            mixtures.read_held_out(result.folder / HELD_OUT),
            shares.read(result.folder / SHARES),
            entropy=stated["entropy"],
            target=stated["target"],
            row_tokens=stated["row_tokens"],
            yardstick=stated["yardstick"],
        )
    except (KeyError, TypeError, ZeroDivisionError, UserError) as error:
        yield f"{MIXTURE} does not fit {HELD_OUT} and {SHARES}: {error}"
        return
    for name in sorted(stated.keys() | expected.keys()):
        if stated.get(name) != expected.get(name):
            yield f"{name} is stated as {stated.get(name)!r}, its outcomes give {expected.get(name)!r}"


def _of_model(result: CellResult) -> Iterator[str]:
    questions = read_lines(result.folder / "questions.jsonl")
    documents = read_lines(result.folder / "documents.jsonl")
    if not questions or bool(documents) != bool(result.metrics["perplexity"]):
        yield "no question was evaluated, or no document of the domains that have a perplexity"
        return
    try:
        scored = result.metrics["protocol"].get("perplexity") or {}
        expected = recomputed(questions, documents, scored.get("shares"))
        for question in questions:
            best = max(range(len(question["logliks"])), key=question["logliks"].__getitem__)
            if question["correct"] != (question["choice"] == question["gold"]) or best != question["choice"]:
                yield f"question {question['id']}: choice or correctness contradicts its log-likelihoods"
    except (KeyError, TypeError, IndexError) as error:
        yield f"questions.jsonl or documents.jsonl lacks {error}"
        return
    stated = {
        name: value
        for part in ("mmlu", "perplexity")
        for name, value in _stated(result.metrics[part], part)
        if name not in NOT_RECOMPUTED
    }
    for name in sorted(expected.keys() - stated.keys()):
        yield f"metrics.json lacks {name}"
    for name, value in stated.items():
        if name not in expected:
            yield f"{name} is stated as {value!r}, and no outcome says anything of it"
        elif not _equal(value, expected[name]):
            yield f"{name} is stated as {value!r}, its outcomes give {expected[name]!r}"
    if BY_STEP in result.files:
        yield from by_step.contradictions(result.folder, result.metrics)


def _equal(stated: Any, value: float) -> bool:
    try:
        return math.isclose(float(stated), value, rel_tol=RELATIVE, abs_tol=1e-12)
    except (TypeError, ValueError):
        return False
