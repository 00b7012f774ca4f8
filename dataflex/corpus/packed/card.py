"""The last files of a built corpus: an index of each domain and split, and the card."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dataflex.corpus.packed.durable import read_json, write_json
from dataflex.corpus.packed.shards import Shard, file_of, shards_of
from dataflex.corpus.packed.statistics import statistics
from dataflex.corpus.packed.vocabulary import Vocabulary
from dataflex.errors import UserError

SCHEMA = 1
CARD = "card.json"
INDEX = "index.json"
MADE_BY = "build"


def write_card(
    folder: Path,
    records: Sequence[dict[str, Any]],
    vocabulary: Vocabulary,
    options: Mapping[str, Any],
    dropped: Mapping[str, int],
) -> dict[str, Any]:
    """Write the indices, then the card, which marks the corpus as finished.

    Args:
        folder: of the corpus.
        records: of all units, in their order.
        vocabulary: of the tokens.
        options: what the corpus was made with; JSON types.
        dropped: documents of the sources that were left out, by reason.

    Raises:
        UserError: there is no document at all.
    """
    shards = list(shards_of(folder, records))
    if not any(shard.split == "train" for shard in shards):
        raise UserError("the sources hold no document to train on: give more text, or a smaller --held-out")
    for split, domain in sorted({(shard.split, shard.domain) for shard in shards}):
        own = [shard for shard in shards if (shard.split, shard.domain) == (split, domain)]
        write_json(folder / split / domain / INDEX, _index(own, vocabulary))
    card = {
        "schema": SCHEMA,
        "made_by": MADE_BY,
        "options": dict(options),
        "vocabulary": vocabulary.as_dict(),
        "dropped": dict(dropped),
        "statistics": statistics(shards),
    }
    write_json(folder / CARD, card)
    return card


def count_dropped(records: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Documents of the sources that some units left out, by reason."""
    return {key: sum(record[key] for record in records) for key in ("empty", "not_sampled")}


def _index(shards: Sequence[Shard], vocabulary: Vocabulary) -> dict[str, Any]:
    special: dict[str, int] = {}
    for shard in shards:
        for token, count in shard.record["special"].items():
            special[token] = special.get(token, 0) + count
    return {
        "schema": SCHEMA,
        "split": shards[0].split,
        "domain": shards[0].domain,
        "vocabulary": vocabulary.as_dict(),
        "dtype": vocabulary.dtype,
        "documents": sum(shard.record["documents"] for shard in shards),
        "tokens": sum(shard.record["tokens"] for shard in shards),
        "special": special,
        "shards": [
            {"unit": shard.unit, **{key: shard.record[key] for key in ("documents", "tokens", "sha256")}}
            for shard in shards
        ],
    }


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a built corpus.

    Raises:
        UserError: the folder is none, its build has not finished, or another version has built it.
    """
    path = folder / CARD
    card = read_json(path) if path.is_file() else {}
    if card.get("made_by") != MADE_BY:
        hint = "finish it with" if (folder / "build.json").is_file() else "make one with"
        raise UserError(
            f"{folder} is not a built corpus (no {CARD} of one); {hint}: dataflex-cli corpus build"
        )
    if card["schema"] != SCHEMA:
        raise UserError(
            f"{folder} was built by another version of dataflex (schema {card['schema']}, this one reads "
            f"{SCHEMA}): build it again"
        )
    return dict(card)


def verify_digests(folder: Path) -> None:
    """Compare every shard of a built corpus with the digests in its index.

    Raises:
        UserError: a file is missing or has another content.
    """
    for split, domains in read_card(folder)["statistics"].items():
        for domain in domains:
            for shard in read_json(folder / split / domain / INDEX)["shards"]:
                for kind, digest in shard["sha256"].items():
                    path = file_of(folder, split, domain, shard["unit"], kind)
                    if not path.is_file():
                        raise UserError(f"{path} is missing: build the corpus again")
                    with path.open("rb") as file:
                        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                            raise UserError(
                                f"{path} has another content than when it was built: build it again"
                            )
