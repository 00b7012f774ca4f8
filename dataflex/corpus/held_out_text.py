"""The held-out documents of a built corpus as text, with questions: what a model is evaluated on.

Text is what the tokens stand for. It is the source's own where the tokenizer loses nothing but a
normalisation; documents whose text has other tokens than they are counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from dataflex.corpus.documents import words
from dataflex.corpus.files import write_json, write_jsonl
from dataflex.corpus.given import given_questions, write_given_questions
from dataflex.corpus.layout import CARD, SCHEMA
from dataflex.corpus.packed.card import read_card
from dataflex.corpus.packed.shards import Shard, read_records, shards_of
from dataflex.corpus.packed.vocabulary import TOKENIZER, Encoder, Vocabulary
from dataflex.corpus.questions import as_instruction
from dataflex.errors import UserError


def lay_out_held_out(
    packed: Path,
    questions: str,
    output: Path,
    *,
    documents: int | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> dict[str, Any]:
    """Write test documents and questions of a built corpus, in the layout that `evaluate` reads.

    Args:
        packed: a built corpus; it may lie below `output`.
        questions: folder of MMLU, or "packaged".
        output: gets test/<domain>.jsonl, questions, dataset_info.json and, last of all, card.json.
        documents: most of a domain, the first ones of the build's random order; None takes all.
        seed: splits packaged questions.
        quiet: no progress bar.

    Returns:
        The card.

    Raises:
        UserError: there is no such corpus, or a domain of it has no held-out document.
    """
    built = read_card(packed)
    statistics = built["statistics"]
    if bare := sorted(set(statistics["train"]) - set(statistics["held_out"])):
        raise UserError(
            f"{packed} holds out no document of {', '.join(bare)}: build it with a larger --held-out"
        )
    (output / CARD).unlink(missing_ok=True)
    parts = given_questions(questions, seed)
    vocabulary = Vocabulary.from_dict(built["vocabulary"])
    content = (packed / TOKENIZER).read_text(encoding="utf-8")
    records = [record for _, record in sorted(read_records(packed).items())]
    shards = list(shards_of(packed, records))
    entries: dict[str, dict[str, Any]] = {}
    with Progress(disable=quiet) as progress:
        for domain in progress.track(sorted(statistics["train"]), description="held-out text"):
            own = [shard for shard in shards if (shard.split, shard.domain) == ("held_out", domain)]
            entries[domain] = {"test": _write(own, content, vocabulary, output, documents)}
    card = {
        "schema": SCHEMA,
        "made_by": "held-out",
        "domains": entries,
        "train_tokens": {domain: int(row["tokens"]) for domain, row in sorted(statistics["train"].items())},
        "questions": {
            **write_given_questions(output, parts, questions),
            "validation_sft": {
                "rows": len(parts[0]),
                "sha256": write_jsonl(
                    output / "questions" / "validation_sft.jsonl", map(as_instruction, parts[0])
                ),
            },
        },
    }
    alpaca = {"prompt": "instruction", "query": "input", "response": "output"}
    info = {"questions_validation": {"file_name": "questions/validation_sft.jsonl", "columns": alpaca}}
    write_json(output / "dataset_info.json", info)
    write_json(output / CARD, card)
    return card


def _write(
    shards: list[Shard], tokenizer_json: str, vocabulary: Vocabulary, output: Path, most: int | None
) -> dict[str, Any]:
    """Write the test documents of one domain; returns the card's entry."""
    from tokenizers import Tokenizer

    tokenizer, encode = Tokenizer.from_str(tokenizer_json), Encoder(tokenizer_json, vocabulary)
    domain = shards[0].domain
    rows, altered = [], 0
    for tokens in _first(shards, vocabulary, most):
        text = tokenizer.decode(tokens[:-1].tolist(), skip_special_tokens=False)
        altered += not np.array_equal(encode([text])[0], tokens)
        rows.append({"text": text, "meta": {"redpajama_set_name": domain}})
    return {
        "documents": len(rows),
        "bytes": sum(len(str(row["text"]).encode()) for row in rows),
        "words": sum(len(words(str(row["text"]))) for row in rows),
        "altered": altered,
        "sha256": write_jsonl(output / "test" / f"{domain}.jsonl", rows),
    }


def _first(shards: list[Shard], vocabulary: Vocabulary, most: int | None) -> Iterator[Any]:
    """Tokens of the documents that come first in the build's random order, end token included."""
    places = []
    for number, shard in enumerate(shards):
        entries = shard.documents()
        starts = np.concatenate(([0], entries["end"][:-1]))
        places += [
            (int(order), number, int(start), int(end))
            for order, start, end in zip(entries["order"], starts, entries["end"], strict=True)
        ]
    for _, number, start, end in sorted(places)[:most]:
        yield np.asarray(shards[number].tokens(vocabulary.dtype)[start:end])
