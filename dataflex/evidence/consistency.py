"""Do a cell's summary numbers follow from its outcomes: questions, documents, picked rows, token shares?"""

from __future__ import annotations

import math
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

RELATIVE = 1e-9
"""Summaries are recomputed from the same doubles, so that only the order of additions may differ."""


def answer_nll(logliks: list[float], gold: int) -> float:
    """-log p(gold) in nats, with p = softmax over the options' log-likelihoods."""
    top = max(logliks)
    return top + math.log(sum(math.exp(value - top) for value in logliks)) - logliks[gold]


def recomputed(questions: list[dict[str, Any]], documents: list[dict[str, Any]]) -> dict[str, float]:
    """The summary numbers by name, from the outcomes alone.

    Bits per byte of a domain: -sum of the documents' log-likelihoods (nats) / (log 2 x bytes); word, byte and
    token perplexities: exp(-sum / units). ``all`` pools the documents of all domains, if there are any.
    """
    numbers = {
        "mmlu.acc": math.fsum(question["correct"] for question in questions) / len(questions),
        "mmlu.answer_nll": math.fsum(answer_nll(q["logliks"], q["gold"]) for q in questions) / len(questions),
        "mmlu.n": float(len(questions)),
    }
    for subject in sorted({question["subject"] for question in questions}):
        own = [question for question in questions if question["subject"] == subject]
        numbers[f"mmlu.subjects.{subject}.acc"] = math.fsum(q["correct"] for q in own) / len(own)
    domains: dict[str, list[dict[str, Any]]] = {"all": documents} if documents else {}
    for document in documents:
        domains.setdefault(document["domain"], []).append(document)
    for domain, own in domains.items():
        nats = -math.fsum(document["loglik"] for document in own)
        totals = {unit: sum(document[f"{unit}s"] for document in own) for unit in ("token", "word", "byte")}
        numbers[f"perplexity.{domain}.bits_per_byte"] = nats / (math.log(2) * totals["byte"])
        numbers[f"perplexity.{domain}.documents"] = float(len(own))
        for unit, total in totals.items():
            numbers[f"perplexity.{domain}.{unit}"] = math.exp(nats / total)
            numbers[f"perplexity.{domain}.{unit}s"] = float(total)
    return numbers


def _stated(metrics: Mapping[str, Any], name: str) -> Any:
    section, *rest = name.split(".")
    value = metrics[section]
    for part in rest:
        value = value[part]
    return value


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
    domains = result.metrics["perplexity"]
    if not questions or bool(documents) != bool(domains):
        yield "no question was evaluated, or no document of the domains that have a perplexity"
        return
    if odd := domains.keys() - {"all"} - {document.get("domain") for document in documents}:
        yield f"{sorted(odd)[0]} has a perplexity and no document"
    try:
        expected = recomputed(questions, documents)
        for question in questions:
            best = max(range(len(question["logliks"])), key=question["logliks"].__getitem__)
            if question["correct"] != (question["choice"] == question["gold"]) or best != question["choice"]:
                yield f"question {question['id']}: choice or correctness contradicts its log-likelihoods"
    except (KeyError, TypeError, IndexError) as error:
        yield f"questions.jsonl or documents.jsonl lacks {error}"
        return
    for name, value in expected.items():
        try:
            stated = float(_stated(result.metrics, name))
        except (KeyError, TypeError, ValueError):
            yield f"metrics.json lacks {name}"
            continue
        if not math.isclose(stated, value, rel_tol=RELATIVE, abs_tol=1e-12):
            yield f"{name} is stated as {stated!r}, its outcomes give {value!r}"
    if BY_STEP in result.files:
        yield from by_step.contradictions(result.folder, result.metrics)
