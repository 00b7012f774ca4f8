"""The work on one unit: read its documents, sort them into splits and domains, tokenise and write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from dataflex.corpus.packed import hashing
from dataflex.corpus.packed.shards import UnitWriter
from dataflex.corpus.packed.units import Unit
from dataflex.corpus.packed.vocabulary import Encoder, Vocabulary

_BATCH_BYTES = 2**20
_BATCH_DOCUMENTS = 512

_Found = tuple[str, str, str, int, int]
"""Split, domain, text, place in the random order and bytes of a document."""


@dataclass(frozen=True)
class TokenizeUnit:
    """Tokenises units into the folder of a corpus; sent to every worker."""

    folder: Path
    tokenizer_json: str
    vocabulary: Vocabulary
    seed: int
    held_out: float
    sample: float
    held_out_of: Mapping[str, float] = field(default_factory=dict)
    """Of domains with a share of their own."""

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self.tokenizer_json, self.vocabulary)

    def __call__(self, unit: Unit) -> dict[str, Any]:
        """Write a unit's shards and return its record.

        Raises:
            UserError: a source is not as it should be.
        """
        writer = UnitWriter(self.folder, unit.number, self.vocabulary)
        held_out, sample = hashing.threshold(self.held_out), hashing.threshold(self.sample)
        own = {domain: hashing.threshold(share) for domain, share in self.held_out_of.items()}
        empty = passed_over = pending = 0
        batch: list[_Found] = []
        for domain, text in unit.documents():
            if not text.strip():
                empty += 1
                continue
            text, content = _utf8(text)
            split_key, order = hashing.keys(content, self.seed)
            if order >= sample:
                passed_over += 1
                continue
            split = "held_out" if split_key < own.get(domain, held_out) else "train"
            batch.append((split, domain, text, order, len(content)))
            pending += len(content)
            if pending >= _BATCH_BYTES or len(batch) >= _BATCH_DOCUMENTS:
                self._write(writer, batch)
                batch, pending = [], 0
        self._write(writer, batch)
        return writer.finish({"empty": empty, "not_sampled": passed_over})

    def _write(self, writer: UnitWriter, batch: Sequence[_Found]) -> None:
        if not batch:
            return
        tokens = self._encoder([text for _, _, text, _, _ in batch])
        places: dict[tuple[str, str], list[int]] = {}
        for index, (split, domain, *_) in enumerate(batch):
            places.setdefault((split, domain), []).append(index)
        for (split, domain), indices in places.items():
            writer.add(
                split,
                domain,
                [tokens[index] for index in indices],
                [batch[index][3] for index in indices],
                [batch[index][4] for index in indices],
            )


def _utf8(text: str) -> tuple[str, bytes]:
    """The text and its UTF-8; halves of surrogate pairs, which JSON can hold UTF-8 can't, are replaced."""
    try:
        return text, text.encode()
    except UnicodeEncodeError:
        content = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").encode()
        return content.decode(), content
