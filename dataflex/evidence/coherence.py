"""Do the cells of a rung fit each other, and what their grid asks for?

One cell's numbers can follow from its outcomes and still be worthless: trained with another setting, marked
with other questions or another tokenizer, called by another method's name, or copied from another cell. What
such faults leave behind is a contradiction with the cells beside it or with the grid.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

from dataflex.evidence.agreement import Trouble, odd_ones, outvoted
from dataflex.evidence.answers import answers_digest, right_answers
from dataflex.evidence.copies import copies
from dataflex.evidence.manifest import config_hash
from dataflex.evidence.results import CellResult, read_lines

ELSEWHERE = ("output_dir", "dataset_dir", "packed_corpus")
"""Settings that are paths below the folder of the runs, which is anywhere."""
Settings = Mapping[str, Any]


def troubles(
    results: Sequence[CellResult],
    asked: Callable[[CellResult], Settings | None] | None = None,
    answers: Mapping[str, str] | None = None,
) -> Iterator[Trouble]:
    """Yield a cell and one sentence for each thing that does not fit.

    Args:
        results: all cells of a rung.
        asked: the settings that the grid renders for a cell, None for a cell that it does not have. Without
            it the cells are compared among themselves alone.
        answers: digest of the right answers by that of the file of questions, see ``answers.read``.
    """
    for result in results:
        for sentence in _of_its_own(result, asked(result) if asked else None, known=asked is not None):
            yield result, sentence
    yield from _same_run(results)
    for pair in copies(results)[0]:
        files = " and ".join(pair.files)
        yield pair.result, f"its {files} hold the outcomes of {pair.other.path}: one of the two is a copy"
    yield from odd_ones(
        results, _beside, _protocol, "its evaluation's protocol is not that of most cells beside it"
    )
    yield from odd_ones(
        results, _beside, _corpus, "it was trained on another corpus than most cells beside it"
    )
    models = [result for result in results if result.kind == "model"]
    yield from _of_questions(models, answers or {})
    yield from _of_tokenizers(models)


def never_diverged(results: Sequence[CellResult]) -> Iterator[str]:
    """Yield a sentence for each pair of cells that hold the same outcomes and may both be right."""
    for pair in copies(results)[1]:
        yield (
            f"{pair.result.path} and {pair.other.path} have the same outcomes: their decisions never "
            "differed, so that they are one model, trained twice"
        )


def _of_questions(models: Sequence[CellResult], answers: Mapping[str, str]) -> Iterator[Trouble]:
    """The same file of questions gives each question one right answer, in the whole rung and beyond."""
    for result in models:
        known = answers.get(_questions(result) or "")
        if known is not None and answers_digest(result) != known:
            yield (
                result,
                "its questions have other answers than the file of questions that its protocol names",
            )
    yield from odd_ones(
        models,
        _corpus,
        _questions,
        "its protocol names another file of questions than most cells of its corpus",
    )
    yield from odd_ones(
        models,
        _questions,
        _asked,
        "it was asked other questions than most cells of the same file of questions",
    )
    yield from outvoted(
        models,
        _questions,
        right_answers,
        "its questions have other answers than those of most cells of the rung: {wrong} of {all}, as {first}",
    )


def _of_tokenizers(models: Sequence[CellResult]) -> Iterator[Trouble]:
    """One model has one tokenizer, in the whole rung.

    Equal numbers of tokens do not make two tokenizers the same, but older results hold nothing else.
    """
    wrong = "it was evaluated with another tokenizer than most cells of its model"
    yield from outvoted(
        models,
        _model_and_documents,
        _tokens,
        wrong + ", which cut {wrong} of {all} documents otherwise, as {first}",
    )
    yield from odd_ones(
        [result for result in models if "tokenizer" in result.metrics], _model, _tokenizer, wrong
    )


def _of_its_own(result: CellResult, asked: Settings | None, *, known: bool) -> Iterator[str]:
    manifest = result.run["manifest"]
    if manifest.get("seed") != result.seed:
        yield f"its manifest says seed {manifest.get('seed')}, it is filed under seed {result.seed}"
    if str(manifest.get("commit") or "").endswith("-dirty"):
        yield "it was run from a checkout with changes that no commit holds"
    if result.kind == "model" and _hash(result.metrics["protocol"]) != result.metrics["protocol_hash"]:
        yield "its protocol does not have the hash that it states"
    config = result.run.get("config")
    if config is None:
        yield "run.json holds no config, so that nobody can tell what was run: collect it again"
        return
    if config_hash(config, manifest["decisions"]) != manifest["config_hash"]:
        yield "its config does not have the hash that its manifest states"
    if asked is None:
        if known:
            yield "the grid has no such cell"
        return
    for key in sorted(config.keys() | asked.keys()):
        if key not in ELSEWHERE and not same(config.get(key), asked.get(key)):
            yield f"{key} was {config.get(key)!r}, the grid says {asked.get(key)!r}"


def _hash(protocol: Mapping[str, Any]) -> str:
    text = json.dumps(protocol, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def same(one: Any, other: Any) -> bool:
    """Whether two settings are the same, paths below the folder of the runs aside."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, str) and isinstance(other, str) and "/" in one and "/" in other:
        # The last two parts name an experiment's cell, or a model.
        return one.split("/")[-2:] == other.split("/")[-2:]
    return bool(one == other)


def _same_run(results: Sequence[CellResult]) -> Iterator[Trouble]:
    by_config: dict[str, CellResult] = {}
    for result in results:
        name = str(result.run["manifest"]["config_hash"])
        if name in by_config:
            yield result, f"it is the same run as {by_config[name].path}: their configs have the same hash"
        by_config.setdefault(name, result)


def _beside(result: CellResult) -> Hashable:
    """What the cells beside a cell share with it: experiment, model and scale."""
    experiment, _, model, scale = result.key
    return experiment, model, scale


def _model(result: CellResult) -> str:
    return result.key[2]


def _protocol(result: CellResult) -> str:
    return str(result.metrics.get("protocol_hash"))


def _corpus(result: CellResult) -> str:
    return result.corpus


def _questions(result: CellResult) -> str | None:
    """SHA-256 of the file of questions that was asked; None where the protocol does not name it."""
    files = (result.metrics["protocol"].get("mmlu") or {}).get("questions") or {}
    return files.get("test")


def _asked(result: CellResult) -> Hashable:
    return frozenset(right_answers(result))


def _model_and_documents(result: CellResult) -> Hashable:
    documents = (result.metrics["protocol"].get("perplexity") or {}).get("documents")
    return _model(result), json.dumps(documents, sort_keys=True)


def _tokens(result: CellResult) -> Mapping[str, int]:
    """How many tokens each document was cut into."""
    documents = read_lines(result.folder / "documents.jsonl")
    return {str(line["id"]): int(line["tokens"]) for line in documents}


def _tokenizer(result: CellResult) -> str:
    return str(result.metrics["tokenizer"])
