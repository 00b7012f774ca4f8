"""Do the cells of a rung fit each other, and what their grid asks for?

One cell's numbers can follow from its outcomes and still be worthless: trained with another setting, marked
with other questions or another tokenizer, called by another method's name, or copied from another cell. What
such faults leave behind is a contradiction with the cells beside it or with the grid.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

from dataflex.evidence.manifest import config_hash
from dataflex.evidence.results import FILES, PICKS, CellResult, read_lines

ELSEWHERE = ("output_dir", "dataset_dir", "packed_corpus")
"""Settings that are paths below the folder of the runs, which is anywhere."""
Trouble = tuple[CellResult, str]
Settings = Mapping[str, Any]


def troubles(
    results: Sequence[CellResult], asked: Callable[[CellResult], Settings | None] | None = None
) -> Iterator[Trouble]:
    """Yield a cell and one sentence for each thing that does not fit.

    Args:
        results: all cells of a rung.
        asked: the settings that the grid renders for a cell, None for a cell that it does not have. Without
            it the cells are compared among themselves alone.
    """
    for result in results:
        for sentence in _of_its_own(result, asked(result) if asked else None, known=asked is not None):
            yield result, sentence
    yield from _copies(results)
    yield from _odd_ones(results, _protocol, "its evaluation's protocol is not that of most cells beside it")
    yield from _odd_ones(results, _corpus, "it was trained on another corpus than most cells beside it")
    yield from _odd_ones(
        _models(results), _golds, "its questions have other answers than those of the cells beside it"
    )
    tokenizer = "it was evaluated with another tokenizer than the cells beside it"
    yield from _odd_ones(_models(results), _tokenizer, tokenizer)


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


def _copies(results: Sequence[CellResult]) -> Iterator[Trouble]:
    by_config: dict[str, CellResult] = {}
    by_outcome: dict[str, CellResult] = {}
    for result in results:
        name = str(result.run["manifest"]["config_hash"])
        if name in by_config:
            yield result, f"it is the same run as {_place(by_config[name])}: their configs have the same hash"
        by_config.setdefault(name, result)
        for file in FILES[result.kind][1:-1]:
            # Two selections may pick the same rows; no two trainings lose the same to the last digit.
            if file in (PICKS, "shares.csv") or not (result.folder / file).stat().st_size:
                continue
            digest = file + hashlib.sha256((result.folder / file).read_bytes()).hexdigest()
            other = by_outcome.setdefault(digest, result)
            if other is not result and (other.seed != result.seed or file != "curve.csv"):
                yield result, f"its {file} is that of {_place(other)}, byte for byte"


def _models(results: Sequence[CellResult]) -> list[CellResult]:
    return [result for result in results if result.kind == "model"]


def _protocol(result: CellResult) -> Hashable:
    return str(result.metrics.get("protocol_hash"))


def _corpus(result: CellResult) -> Hashable:
    return result.corpus


def _golds(result: CellResult) -> Hashable:
    questions = read_lines(result.folder / "questions.jsonl")
    return tuple(sorted((str(line["id"]), int(line["gold"])) for line in questions))


def _tokenizer(result: CellResult) -> Hashable:
    """Its digest, and what it makes of the documents."""
    documents = read_lines(result.folder / "documents.jsonl")
    tokens = tuple(sorted((str(line["id"]), int(line["tokens"])) for line in documents))
    return result.metrics.get("tokenizer"), tokens


def _odd_ones(
    results: Sequence[CellResult], of: Callable[[CellResult], Hashable], sentence: str
) -> Iterator[Trouble]:
    """Cells that differ from the most of their experiment, model and scale in something all should share."""
    groups: dict[tuple[str, str, str], list[CellResult]] = defaultdict(list)
    for result in results:
        experiment, _, model, scale = result.key
        groups[experiment, model, scale].append(result)
    for runs in groups.values():
        values = [of(run) for run in runs]
        common, _ = Counter(values).most_common(1)[0]
        yield from ((run, sentence) for run, value in zip(runs, values, strict=True) if value != common)


def _place(result: CellResult) -> str:
    return f"{result.folder.parent.name}/{result.folder.name}"
