"""Perplexity of every domain's test documents, by lm-eval's rolling log-likelihood."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from dataflex.corpus.files import write_jsonl
from dataflex.errors import UserError

ALL = "all"
NATURAL = "natural"
RESERVED = (ALL, NATURAL)
"""Names in a summary that no domain may have."""
VERSION = 1.0
LARGEST_EXPONENT = 709.0


@dataclass(frozen=True, slots=True)
class TestDocument:
    """A document to be scored: "domain/line number from 0" and its text."""

    id: str
    domain: str
    text: str


@dataclass(frozen=True, slots=True)
class DocumentOutcome:
    """What a model made of one document: total log-likelihood in nats and the counts it is divided by.

    `words` counts as lm-eval does (pieces between white space), `tokens` are those that were scored.
    """

    id: str
    domain: str
    loglik: float
    tokens: int
    words: int
    bytes: int

    def row(self) -> dict[str, Any]:
        """One line of documents.jsonl."""
        return asdict(self)


def read_documents(path: Path, at_most: int | None) -> list[TestDocument]:
    """Documents of one domain's test file, in order; with `at_most`, those whose texts hash lowest.

    Raises:
        UserError: the file holds no document or a line that is none.
    """
    domain = path.stem
    documents = []
    # Not split by str.splitlines(), which also ends lines at characters that stand in texts, such as U+2028.
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            try:
                text = json.loads(line)["text"]
            except (ValueError, KeyError, TypeError):
                raise UserError(f'{path}:{number + 1}: not a document; expected {{"text": "..."}}') from None
            documents.append(TestDocument(f"{domain}/{number}", domain, str(text)))
    if not documents:
        raise UserError(f"{path} holds no document")
    if at_most is not None:
        ranked = sorted(documents, key=lambda document: hashlib.sha256(document.text.encode()).hexdigest())
        chosen = {document.id for document in ranked[:at_most]}
        documents = [document for document in documents if document.id in chosen]
    return documents


def write_tasks(folder: Path, cache: Path, domains: Mapping[str, Sequence[TestDocument]]) -> Path:
    """Write one rolling log-likelihood task a domain; returns the folder for TaskManager's include_path."""
    tasks = folder / "perplexity_tasks"
    for domain, documents in domains.items():
        data = tasks / f"{domain}.jsonl"
        write_jsonl(data, ({"text": document.text} for document in documents))
        task = {
            "task": task_name(domain),
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(data)}, "cache_dir": str(cache)},
            "output_type": "loglikelihood_rolling",
            "test_split": "test",
            "doc_to_text": "",
            "doc_to_target": "{{text}}",
            "num_fewshot": 0,
            "metric_list": [
                {"metric": "bits_per_byte", "aggregation": "bits_per_byte", "higher_is_better": False}
            ],
            "metadata": {"version": VERSION},
        }
        (tasks / f"{task_name(domain)}.yaml").write_text(yaml.safe_dump(task), encoding="utf-8")
    return tasks


def task_name(domain: str) -> str:
    """Name of the task of a domain."""
    return f"perplexity_{domain}"


def outcomes(
    results: Mapping[str, Any],
    domains: Mapping[str, Sequence[TestDocument]],
    count_tokens: Callable[[str], int],
) -> list[DocumentOutcome]:
    """Per-document outcomes from lm-eval's logged samples, by domain, then in order.

    Args:
        results: what simple_evaluate returned.
        domains: the documents that were scored.
        count_tokens: number of tokens that the model's tokenizer makes of a scored text.
    """
    found = []
    for domain, documents in domains.items():
        samples = sorted(results["samples"][task_name(domain)], key=lambda sample: int(sample["doc_id"]))
        for document, sample in zip(documents, samples, strict=True):
            (text,) = sample["arguments"][0]
            response = sample["filtered_resps"][0]
            loglik = float(response[0] if isinstance(response, list | tuple) else response)
            found.append(
                DocumentOutcome(
                    document.id,
                    domain,
                    loglik,
                    tokens=count_tokens(text),
                    words=len(re.split(r"\s+", text)),
                    bytes=len(text.encode()),
                )
            )
    return found


def _exp(value: float) -> float | None:
    """e to a power, None (null in JSON) where that is beyond the largest float."""
    return math.exp(value) if value < LARGEST_EXPONENT else None


def _pooled(rows: Sequence[DocumentOutcome]) -> dict[str, Any]:
    loglik = math.fsum(row.loglik for row in rows)
    tokens, words, size = (sum(getattr(row, unit) for row in rows) for unit in ("tokens", "words", "bytes"))
    return {
        "token": _exp(-loglik / tokens),
        "word": _exp(-loglik / words),
        "byte": _exp(-loglik / size),
        "bits_per_byte": -loglik / size / math.log(2),
        "tokens": tokens,
        "words": words,
        "bytes": size,
        "documents": len(rows),
    }


def natural_shares(tokens: Mapping[str, int], domains: Iterable[str]) -> dict[str, float]:
    """Shares of the domains that are scored in a corpus's own tokens, which add up to 1.

    Args:
        tokens: of each domain, to train on.
        domains: that are scored.
    """
    scored = {domain: tokens[domain] for domain in sorted(domains)}
    return {domain: own / sum(scored.values()) for domain, own in scored.items()}


def summarise(
    found: Sequence[DocumentOutcome], shares: Mapping[str, float] | None = None
) -> dict[str, dict[str, Any]]:
    """The `perplexity` part of metrics.json: every domain, and all of them in two ways.

    "all" pools the documents, so that domains of long documents decide. "natural", where shares are given,
    is what text would have whose tokens are so divided among the domains. Empty for a corpus without text.

    Args:
        found: of every document.
        shares: of the domains, by tokens; see `natural_shares`.
    """
    if not found:
        return {}
    domains = sorted({row.domain for row in found})
    parts = {domain: _pooled([row for row in found if row.domain == domain]) for domain in domains}
    natural = {} if shares is None else {NATURAL: _divided(found, shares)}
    return {**parts, ALL: _pooled(found), **natural}


def _divided(rows: Sequence[DocumentOutcome], shares: Mapping[str, float]) -> dict[str, Any]:
    """Of a token of text with these shares: nats, words and bytes are the means over domains."""
    nats = words = size = 0.0
    for domain, share in shares.items():
        own = [row for row in rows if row.domain == domain]
        tokens = sum(row.tokens for row in own)
        nats -= share * math.fsum(row.loglik for row in own) / tokens
        words += share * sum(row.words for row in own) / tokens
        size += share * sum(row.bytes for row in own) / tokens
    return {
        "token": _exp(nats),
        "word": _exp(nats / words),
        "byte": _exp(nats / size),
        "bits_per_byte": nats / size / math.log(2),
    }
