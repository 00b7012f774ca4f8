"""A corpus of any size to time builds with: words of real text, drawn anew, in SlimPajama's schema."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dataflex.corpus.packed.quotas import SLIMPAJAMA
from dataflex.corpus.packed.sources import find_sources
from dataflex.corpus.packed.units import cut_units

_MOST_WORDS = 2_000_000


class _Domain:
    """Words and document lengths of a domain's real text."""

    def __init__(self, texts: Sequence[str]) -> None:
        words = [text.split(" ") for text in texts]
        self.words: npt.NDArray[Any] = np.array([word for one in words for word in one][:_MOST_WORDS], object)
        self.lengths = np.array([len(one) for one in words])
        self.mean_bytes = sum(len(text.encode()) for text in texts) / len(texts)

    def document(self, rng: np.random.Generator) -> str:
        return " ".join(self.words[rng.integers(len(self.words), size=rng.choice(self.lengths))])


def generate(sources: Sequence[Path], folder: Path, size: int, *, files: int = 8, seed: int = 0) -> int:
    """Write ``part-<n>.jsonl.zst`` files and return the bytes of their text.

    Domains have SlimPajama's published shares of the bytes where the sources have its domains, else the
    sources' own.

    Args:
        sources: files in SlimPajama's schema.
        folder: is made.
        size: bytes of text, at least.
        files: how many.
        seed: of the draws.
    """
    import pyarrow as pa

    texts: dict[str, list[str]] = {}
    for unit in cut_units(find_sources([str(path) for path in sources])):
        for domain, text in unit.documents():
            texts.setdefault(domain, []).append(text)
    domains = {name: _Domain(found) for name, found in sorted(texts.items())}
    shares = np.array([float(SLIMPAJAMA.get(name, 0)) for name in domains])
    if not shares.all():
        shares = np.array([sum(map(len, texts[name])) for name in domains], float)
    rates = shares / [domain.mean_bytes for domain in domains.values()]
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    written = 0
    names = list(domains)
    for number in range(files):
        with pa.CompressedOutputStream(str(folder / f"part-{number}.jsonl.zst"), "zstd") as stream:
            while written < size * (number + 1) / files:
                name = names[rng.choice(len(names), p=rates / rates.sum())]
                text = domains[name].document(rng)
                row = {"text": text, "meta": {"redpajama_set_name": name}}
                stream.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
                written += len(text.encode())
    return written
