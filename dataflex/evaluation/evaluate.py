"""Evaluate one model on a corpus: MMLU and, unless left out, the perplexity of every domain, in one pass."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from dataflex.corpus.files import write_json, write_jsonl
from dataflex.corpus.layout import read_card
from dataflex.corpus.questions import read_questions
from dataflex.errors import UserError
from dataflex.evaluation import mmlu, perplexity
from dataflex.evaluation.perplexity import TestDocument
from dataflex.evaluation.scoring import load_model
from dataflex.evaluation.target import resolve_checkpoint, resolve_target

SCHEMA = 2
"""Since the second one a result names its tokenizer and the files of its questions and documents."""
METRICS = "metrics.json"


def protocol_hash(protocol: Mapping[str, Any]) -> str:
    """sha256 of the protocol: results with equal hashes were measured in the same way on the same data."""
    text = json.dumps(protocol, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Keep the bars and warnings of lm-eval and datasets off the screen; errors still come through."""
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def _read_domains(corpus: Path, at_most: int | None) -> dict[str, list[TestDocument]]:
    domains = sorted(read_card(corpus)["domains"])
    for domain in domains:
        if domain in perplexity.RESERVED:
            raise UserError(f'{corpus} has a domain named "{domain}", which is kept for the total')
        if not (corpus / "test" / f"{domain}.jsonl").is_file():
            raise UserError(f"{corpus} lacks test/{domain}.jsonl; make the corpus again")
    return {
        domain: perplexity.read_documents(corpus / "test" / f"{domain}.jsonl", at_most) for domain in domains
    }


def _natural_shares(corpus: Path, domains: Iterable[str]) -> dict[str, float] | None:
    """Shares of the domains in the corpus's tokens; None where they were not counted."""
    tokens = read_card(corpus).get("train_tokens")
    return None if tokens is None else perplexity.natural_shares(tokens, domains)


def _tokenizer_digest(tokenizer: Any) -> str:
    """sha256 of the vocabulary: equal numbers of tokens do not make two tokenizers the same."""
    text = json.dumps(tokenizer.get_vocab(), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def evaluate(
    target: Path,
    corpus: Path,
    output: Path,
    *,
    base_model: str | None = None,
    step: int | None = None,
    batch_size: int = 8,
    context: int | None = None,
    shots: int = 0,
    documents: bool = True,
    documents_per_domain: int | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Score a model on a corpus's test questions and test documents.

    Args:
        target: folder of a model, of a LoRA adapter, or of a run.
        corpus: folder of a corpus.
        output: folder that gets questions.jsonl, documents.jsonl and, last of all, metrics.json.
        base_model: the adapter's base where it is not the one that its config names.
        step: score the run's checkpoint after this step instead of the model at its end.
        batch_size: sequences a forward pass; it changes results by rounding only.
        context: tokens of a window of a document, and most of a prompt; None: as many as the model has
            positions. A model that was trained from scratch knows none behind its rows' last.
        shots: examples in an MMLU prompt, from the corpus's validation questions.
        documents: False scores the questions alone; what they are scored by is the same.
        documents_per_domain: score only so many test documents of a domain, chosen by a hash of their text.
        quiet: no progress display.

    Returns:
        What metrics.json holds.

    Raises:
        UserError: an option is out of range, or target or corpus is not as it should be.
    """
    for name, value, least in (
        ("--batch-size", batch_size, 1),
        ("--context", context, 2),
        ("--shots", shots, 0),
        ("--documents-per-domain", documents_per_domain, 1),
    ):
        if value is not None and value < least:
            raise UserError(f"{name} is {value}; it must be at least {least}")
    if not documents and documents_per_domain is not None:
        raise UserError("--documents-per-domain is given, but no documents are scored: add --documents")
    found_target = (
        resolve_target(target, base_model) if step is None else resolve_checkpoint(target, step, base_model)
    )
    domains = _read_domains(corpus, documents_per_domain) if documents else {}
    shares = _natural_shares(corpus, domains) if documents else None
    validation = read_questions(corpus / "questions" / "validation.jsonl")
    test = read_questions(corpus / "questions" / "test.jsonl")
    mmlu.require_known(validation, test, shots)

    output.parent.mkdir(parents=True, exist_ok=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}: {task.completed:.0f}"), TimeElapsedColumn())
    with (
        # Of the node, not beside the output: `datasets` still maps files of it when it goes, and a folder on
        # NFS can't be removed as long as one is mapped.
        tempfile.TemporaryDirectory(prefix="evaluate-", ignore_cleanup_errors=True) as scratch,
        Progress(*columns, disable=quiet) as progress,
    ):
        folder = Path(scratch).resolve()
        paths = [mmlu.write_tasks(folder, folder / "cache", validation, test, shots)]
        if documents:
            paths.append(perplexity.write_tasks(folder, folder / "cache", domains))
        progress.console.print("loading lm-eval and the model")
        with _quiet_libraries():
            import lm_eval
            from lm_eval.tasks import TaskManager

            model = load_model(found_target, batch_size, progress, context)
            results = lm_eval.simple_evaluate(
                model=model,
                tasks=["mmlu", *map(perplexity.task_name, domains)],
                task_manager=TaskManager(include_path=list(map(str, paths)), include_defaults=False),
                bootstrap_iters=0,
                log_samples=True,
            )
    questions = mmlu.outcomes(results, test)
    read = perplexity.outcomes(results, domains, lambda text: len(model.tok_encode(text)))
    protocol = {
        "lm_eval": metadata.version("lm_eval"),
        "transformers": metadata.version("transformers"),
        "mmlu": {
            "shots": shots,
            "group_version": results["versions"]["mmlu"],
            "template": mmlu.official_template(),
            "chat_template": False,
            "questions": {
                split: _sha256(corpus / "questions" / f"{split}.jsonl") for split in ("validation", "test")
            },
        },
        "perplexity": {
            "version": perplexity.VERSION,
            "windows": "of the context length, every token scored once",
            "documents_per_domain": documents_per_domain,
            "documents": {domain: _sha256(corpus / "test" / f"{domain}.jsonl") for domain in domains},
            **({"shares": shares} if shares else {}),
        }
        if documents
        else None,
        "batch_size": batch_size,
        "context_length": int(model.max_length),
        "dtype": str(next(model.model.parameters()).dtype).removeprefix("torch."),
        "device": model.device.type,
        **({"logits": "float32"} if model.device.type != "cpu" else {}),
    }
    cut_off = sum(len(model.tok_encode(row.prompt)) >= model.max_length for row in questions)
    metrics = {
        "schema": SCHEMA,
        "mmlu": {**mmlu.summarise(questions, results), "truncated_prompts": cut_off},
        **({"perplexity": perplexity.summarise(read, shares)} if documents else {}),
        "tokenizer": _tokenizer_digest(model.tokenizer),
        "protocol": protocol,
        "protocol_hash": protocol_hash(protocol),
    }
    # metrics.json says that a result is whole: an old one must not stand beside new outcomes.
    (output / METRICS).unlink(missing_ok=True)
    write_jsonl(output / "questions.jsonl", (row.row() for row in questions))
    if documents:
        write_jsonl(output / "documents.jsonl", (row.row() for row in read))
    else:
        (output / "documents.jsonl").unlink(missing_ok=True)
    write_json(output / METRICS, metrics)
    return metrics
