"""Small corpora in SlimPajama's schema, a tokenizer for them, and a build to look at."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from dataflex.corpus.packed.card import read_card
from dataflex.corpus.packed.rows import TokenStream

WORDS = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "Ωmega",
    "naïve",
    "日本",
    "🙂",
    "def",
    "return",
    "{x}",
    "12",
    "3.5",
    "the",
    "of\n\n",
    "and,",
    "(so)",
    "on.",
]
DOMAINS = {"RedPajamaCommonCrawl": 6, "RedPajamaC4": 3, "RedPajamaBook": 1}


def texts(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """(domain, text) of documents of very different lengths."""
    chooser = random.Random(seed)
    found = []
    for _ in range(count):
        (domain,) = chooser.choices(list(DOMAINS), list(DOMAINS.values()))
        length = chooser.choice((1, 3, 10, 40, 200))
        found.append((domain, " ".join(chooser.choice(WORDS) for _ in range(length))))
    return found


def lines(documents: Iterable[tuple[str, str]]) -> str:
    return "".join(
        json.dumps({"text": text, "meta": {"redpajama_set_name": domain}}, ensure_ascii=False) + "\n"
        for domain, text in documents
    )


def write(path: Path, documents: Iterable[tuple[str, str]]) -> Path:
    """Write a file in the format that its name says."""
    documents = list(documents)
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        table = pa.table(
            {
                "text": [text for _, text in documents],
                "meta": [{"redpajama_set_name": domain} for domain, _ in documents],
            }
        )
        pq.write_table(table, path, row_group_size=40)
        return path
    codec = {".zst": "zstd", ".gz": "gzip"}.get(path.suffix)
    data = lines(documents).encode()
    if codec is None:
        path.write_bytes(data)
    else:
        with pa.CompressedOutputStream(str(path), codec) as file:
            file.write(data)
    return path


def bytes_below(folder: Path) -> dict[str, bytes]:
    """Content of every file of a built corpus."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def documents(folder: Path, domain: str, split: str = "train") -> list[list[int]]:
    """Tokens of every document, without the end token."""
    stream = TokenStream(folder, domain, split)
    shards = zip(stream._shards, stream._ends.tolist(), strict=False)
    ends = [end + begin for shard, begin in shards for end in shard.documents()["end"].tolist()]
    tokens = stream.tokens(0, len(stream)).tolist()
    found = [tokens[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    assert all(document[-1] == stream.vocabulary.end for document in found)
    return [document[:-1] for document in found]


def tokens_of(folder: Path, split: str = "train") -> dict[str, int]:
    table: dict[str, Any] = read_card(folder)["statistics"][split]
    return {domain: row["tokens"] for domain, row in table.items()}
